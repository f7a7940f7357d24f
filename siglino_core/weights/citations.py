"""BibTeX of the papers behind a student: its own, and those of its teachers."""

SIGLINO = """\
@article{siglino,
  title={SigLino: Efficient Multi-Teacher Distillation for Agglomerative Vision Foundation Models},
  author={Chaybouti, Sofian and Narayan, Sanath and Dahou, Yasser and L{\\^e} Khac, Ph{\\'u}c H. and Singh, Ankit and
          Huynh, Ngoc Dung and Para, Wamiq Reyaz and Kuehne, Hilde and Hacid, Hakim},
  journal={arXiv preprint arXiv:2512.20157},
  year={2025}
}"""
TEACHERS = {
    "siglip2": """\
@article{siglip2,
  title={SigLIP 2: Multilingual Vision-Language Encoders with Improved Semantic Understanding, Localization, and Dense
         Features},
  author={Tschannen, Michael and Gritsenko, Alexey and Wang, Xiao and Naeem, Muhammad Ferjad and Alabdulmohsin, Ibrahim
          and Parthasarathy, Nikhil and Evans, Talfan and Beyer, Lucas and Xia, Ye and Mustafa, Basil and H{\\'e}naff,
          Olivier and Harmsen, Jeremiah and Steiner, Andreas and Zhai, Xiaohua},
  journal={arXiv preprint arXiv:2502.14786},
  year={2025}
}""",
    "dinov3": """\
@article{dinov3,
  title={DINOv3},
  author={Sim{\\'e}oni, Oriane and Vo, Huy V. and Seitzer, Maximilian and Baldassarre, Federico and Oquab, Maxime and
          others},
  journal={arXiv preprint arXiv:2508.10104},
  year={2025}
}""",
}


def bibtex(teachers: list[str]) -> str:
    """The entries that fit a student of these teachers, by their names."""
    return "\n\n".join([SIGLINO, *(entry for name, entry in TEACHERS.items() if name in teachers)])
