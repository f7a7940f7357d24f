"""Breaks of the store: shards, records, redo, leases."""

from scripts.mutations.mutation import Mutation

STORE, STORE_TESTS = "siglino_core/store", "tests/siglino_core/store"

MUTATIONS = (
    # Store
    Mutation(
        says="a shard's record is there before its files",
        file=f"{STORE}/writer.py",
        old="self._files.put_file(name, path)",
        new='self._files.put(f"commits/{self._shard}.json", sealed(entries)), self._files.put_file(name, path)',
        tests=(f"{STORE_TESTS}/test_stage.py::test_files_are_visible_in_commit_alone_and_its_record_comes_last",),
    ),
    Mutation(
        says="a manifest leaves out shards that are missing",
        file=f"{STORE}/stage.py",
        old='raise StoreError(f"{made.files.url}: shard',
        new="continue  # (",
        tests=(f"{STORE_TESTS}/test_stage.py",),
    ),
    Mutation(
        says="a fingerprint is of the config alone",
        file=f"{STORE}/records.py",
        old="return fingerprint(dataclasses.asdict(self))",
        new='return fingerprint({k: v for k, v in dataclasses.asdict(self).items() if k != "inputs"})',
        tests=(f"{STORE_TESTS}/test_records.py::test_fingerprint_is_what_shapes_the_bytes",),
    ),
    Mutation(
        says="a shard that was cut short is done",
        file=f"{STORE}/stage.py",
        old='if not whole or all(sizes.get(n) == e[0] for n, e in record["files"].items())',
        new="if True",
        tests=(f"{STORE_TESTS}/test_stage.py::test_a_damaged_shard_alone_is_missing",),
    ),
    Mutation(
        says="a stage that lost a file is done",
        file=f"{STORE}/stage.py",
        old="return all(sizes.get(name) == entry[0] for name, entry in manifest.files.items())",
        new="return bool(manifest.files)",
        tests=(f"{STORE_TESTS}/test_stage.py::test_a_damaged_shard_alone_is_missing",),
    ),
    Mutation(
        says="a digest is of names alone",
        file=f"{STORE}/stage.py",
        old="fingerprint({name: record[1] for name, record in files.items()})",
        new="fingerprint(sorted(files))",
        tests=(f"{STORE_TESTS}/test_stage.py::test_the_digest_follows_the_bytes_alone",),
    ),
    Mutation(
        says="erasing leaves the plan",
        file=f"{STORE}/stage.py",
        old="for some in ([MANIFEST], records, rest, [PLAN]):",
        new="for some in ([MANIFEST], records, rest):",
        tests=(f"{STORE_TESTS}/test_stage.py::test_erase_takes_what_counts_first_and_the_plan_last",),
    ),
    Mutation(
        says="a successor's manifest goes before its files",
        file=f"{STORE}/successor.py",
        old="    home.copy_from(successor, [n for n in names if n != MANIFEST])\n",
        new="    home.copy_from(successor, [MANIFEST])\n    home.copy_from(successor, list(names))\n",
        tests=(f"{STORE_TESTS}/test_successor.py::test_stopped_after_any_step_one_of_the_two_is_whole",),
    ),
    Mutation(
        says="a redo drops what stands",
        file=f"{STORE}/stage.py",
        old="        successor = self.successor\n        successor.drop_damaged()",
        new="        self.erase()\n        successor = self.successor\n        successor.drop_damaged()",
        tests=(f"{STORE_TESTS}/test_successor.py::test_a_redo_that_is_refused_costs_nothing",),
    ),
    Mutation(
        says="an owner that sleeps is dead",
        file=f"{STORE}/lease.py",
        old='return None if fields[0] in "ZX" else fields[19]',
        new='return None if fields[0] in "ZXT" else fields[19]',
        tests=(f"{STORE_TESTS}/test_lease.py",),
    ),
    Mutation(
        says="two take a dead one's lease",
        file=f"{STORE}/lease.py",
        old="if files.create(_name(number + 1), sealed(ours)):",
        new="if files.put(_name(number + 1), sealed(ours)) is None:",
        tests=(f"{STORE_TESTS}/test_lease.py::test_of_six_that_ask_at_once_one_takes_it",),
    ),
    Mutation(
        says="an input may change while a stage is made",
        file=f"{STORE}/stage.py",
        old="        self._require_inputs(identity)\n",
        new="",
        tests=(f"{STORE_TESTS}/test_lease.py::test_an_input_made_anew_meanwhile",),
    ),
    Mutation(
        says="a record is believed without its seal",
        file=f"{STORE}/sealed.py",
        old="if seal != fingerprint(record) or data != as_json({**record, SEAL: seal}):",
        new="if seal is None:",
        tests=(f"{STORE_TESTS}/test_sealed.py::test_every_flipped_bit_is_found",),
    ),
    Mutation(
        says="what is read is not hashed",
        file="pipelines/support/inputs.py",
        old="        bad = list(damaged(stage.files, new))",
        new="        bad = []",
        tests=("tests/flows/test_verify.py::test_a_stage_refuses_what_was_changed_since",),
    ),
    Mutation(
        says="settings of stages that do not run are not looked at",
        file="flows/limits.py",
        old="if manifest is not None and (differing :=",
        new="if manifest is None and (differing :=",
        tests=("tests/flows/test_provenance.py",),
    ),
    Mutation(
        says="a signature is no secret",
        file="siglino_core/config/credentials.py",
        old="if not SECRET.search(name) and",
        new="if",
        tests=("tests/siglino_core/config/test_credentials.py",),
    ),
    Mutation(
        says="creating a file overwrites it",
        file=f"{STORE}/files.py",
        old="            os.link(source, target)",
        new="            os.replace(source, target)",
        tests=(f"{STORE_TESTS}/test_files.py::test_operations",),
    ),
    Mutation(
        says="a writer that raises leaves its files",
        file=f"{STORE}/writer.py",
        old="            shutil.rmtree(self._folder, ignore_errors=True)",
        new="            pass",
        tests=(f"{STORE_TESTS}/test_stage.py::test_a_writer_that_raises_leaves_nothing",),
    ),
    Mutation(
        says="a stage that was begun is written over by another run's",
        file="siglino_core/store/adopted.py",
        old="return stage.files.exists(PLAN) or stage.files.exists(MANIFEST)",
        new="return stage.files.exists(MANIFEST)",
        tests=("tests/siglino_core/store/test_adopted.py",),
    ),
)
