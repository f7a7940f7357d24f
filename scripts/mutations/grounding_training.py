"""Breaks of the fine-tuning: what it begins from, what it keeps, what of it is run, and how it is told."""

from scripts.mutations.mutation import Mutation

CODE, TEST = "siglino_core/grounding", "tests/pipelines/test_ground.py"

MUTATIONS = (
    Mutation(
        says="a fine-tuning begins from drawn weights",
        file=f"{CODE}/training/rank.py",
        old="transfer(model, loaded.state_dict(), loaded.spec)",
        new="loaded.eval()",
        tests=(TEST,),
    ),
    Mutation(
        says="a fine-tuning that is anchored has no anchor",
        file=f"{CODE}/training/rank.py",
        old="anchored = ground.loss.gram > 0",
        new="anchored = ground.loss.gram > 10",
        tests=(TEST,),
    ),
    Mutation(
        says="what the student gave learns as fast as what is new",
        file=f"{CODE}/training/rank.py",
        old="image_lr=ground.image_lr,",
        new="image_lr=1.0,",
        tests=(TEST,),
    ),
    Mutation(
        says="a frozen layer's experts are balanced",
        file="siglino_core/models/routing.py",
        old="if any(p.requires_grad for p in m.parameters()):",
        new="if m is not None:",
        tests=("tests/siglino_core/models/test_routing.py", TEST),
    ),
    Mutation(
        says="a model's folder asks for as many instances as any",
        file=f"{CODE}/folder.py",
        old="most = self.most if most is None else most",
        new="most = 32 if most is None else most",
        tests=(f"tests/{CODE}/test_folder.py",),
    ),
    Mutation(
        says="a model's folder takes larger images than it was trained on",
        file=f"{CODE}/folder.py",
        old='max_pixels=said["max_pixels"]\n    )',
        new='max_pixels=4 * said["max_pixels"]\n    )',
        tests=(TEST,),
    ),
    Mutation(
        says="a student of another place is another student",
        file="pipelines/ground/job.py",
        old="return Student(source=source, identity=identity(source), of_run=False)",
        new="return Student(source=source, identity=source, of_run=False)",
        tests=(TEST,),
    ),
    Mutation(
        says="a fine-tuning of another student is reused",
        file="pipelines/ground/job.py",
        old="begun_from: student.identity}",
        new='begun_from: ""}',
        tests=(TEST,),
    ),
    Mutation(
        says="it is trained on what it is tested on",
        file="pipelines/ground/job.py",
        old="shards_of(expressions, TRAIN)",
        new='shards_of(expressions, "test")',
        tests=(TEST,),
    ),
    Mutation(
        says="a training that was stopped counts as trained",
        file="pipelines/support/trained.py",
        old="if not kept or kept[-1].step < steps:\n        return False",
        new="if not kept:\n        return False",
        tests=(TEST,),
    ),
    Mutation(
        says="the model is made of a checkpoint that is not the last",
        file="pipelines/support/trained.py",
        old="    return checkpoints[-1]\n",
        new="    return checkpoints[0]\n",
        tests=(TEST,),
    ),
    Mutation(
        says="a whole path without sets of expressions ends in an error",
        file="flows/stages.py",
        old="return [choice for choice in choices if choice.stage not in GROUND]",
        new="return list(choices)",
        tests=("tests/flows/test_ground.py",),
    ),
    Mutation(
        says="an expression of too many tokens ends the training",
        file=f"{CODE}/data/left_out.py",
        old="elif (bad := _unasked(one.text)) is None:",
        new="elif (bad := None) is None:",
        tests=(f"tests/{CODE}/data/test_left_out.py",),
    ),
    Mutation(
        says="a stage of grounding alone is refused by its own settings",
        file="pipelines/support/provenance.py",
        old="theirs, ours = _flat(theirs), ours | _flat(_sets(config))",
        new="pass",
        tests=("tests/flows/test_ground.py",),
    ),
    Mutation(
        says="heads refuse the states of mixed precision",
        file=f"{CODE}/heads.py",
        old="self.fc1(x_SD.to(self.fc1.weight.dtype))",
        new="self.fc1(x_SD)",
        tests=(TEST,),
    ),
)
