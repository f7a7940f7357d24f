"""Breaks of what reads pools and images."""

from scripts.mutations.mutation import Mutation

MUTATIONS = (
    Mutation(
        says="a mask is a photograph",
        file="siglino_core/pools/joining.py",
        old="if not texts.get(own) and any(short in images for short in above):",
        new="if False:",
        tests=("tests/siglino_core/pools/test_joining.py",),
    ),
    Mutation(
        says="a number after a dot is a word",
        file="siglino_core/pools/joining.py",
        old='_WORD = re.compile(r"[A-Za-z_][\\w-]*")',
        new='_WORD = re.compile(r"[\\w-]+")',
        tests=("tests/siglino_core/pools/test_joining.py",),
    ),
    Mutation(
        says="a numbered shard is a class",
        file="siglino_core/pools/labels.py",
        old="if folders and not _SHARD.fullmatch(folders[0]) else None",
        new="if folders else None",
        tests=("tests/siglino_core/pools/test_labels.py",),
    ),
    Mutation(
        says="linked folders are not followed",
        file="siglino_core/pools/listing.py",
        old="folders = sorted(links, reverse=True)",
        new="folders = []",
        tests=("tests/siglino_core/pools/test_listing.py",),
    ),
    Mutation(
        says="a path in a row leads out of the pool",
        file="siglino_core/pools/parquet.py",
        old='if posixpath.isabs(path) or "://" in path or "\\0" in path or beside.startswith("../"):',
        new='if "://" in path:',
        tests=("tests/siglino_core/pools/test_parquet.py",),
    ),
    Mutation(
        says="one picture of many rows is unfolded",
        file="siglino_core/pools/parquet.py",
        old='if coded - {""}:',
        new="if False:",
        tests=("tests/siglino_core/pools/test_parquet.py",),
    ),
    Mutation(
        says="failed downloads are broken images",
        file="pipelines/source.py",
        old="if reason != NOT_DOWNLOADED) + unread",
        new=") + unread",
        tests=("tests/pipelines/test_source_losses.py",),
    ),
    Mutation(
        says="tars that cannot be read count as one image",
        file="pipelines/source.py",
        old="return sum(max(0, mean - planned) for planned in lost)",
        new="return 0",
        tests=("tests/pipelines/test_source_losses.py",),
    ),
    Mutation(
        says="a compressed tar may grow for ever",
        file="siglino_core/pools/tars.py",
        old="if length > limit:",
        new="if False:",
        tests=("tests/siglino_core/pools/test_tars.py",),
    ),
    Mutation(
        says="a TIFF's camera has 16 bits",
        file="siglino_core/models/rgb.py",
        old='if im.format == "TIFF":',
        new='if im.format == "NONE":',
        tests=("tests/siglino_core/images/test_decode.py",),
    ),
    Mutation(
        says="XMP does not turn",
        file="siglino_core/models/rgb.py",
        old='_CARRIES_ORIENTATION = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")',
        new='_CARRIES_ORIENTATION = ("exif",)',
        tests=("tests/siglino_core/images/test_decode.py",),
    ),
    Mutation(
        says="a long comment costs the picture",
        file="siglino_core/images/decode.py",
        old='alone = picture_alone(data) if e.reason == "corrupt" else None',
        new="alone = None",
        tests=("tests/siglino_core/images/test_decode.py",),
    ),
    Mutation(
        says="embeddings may have any length",
        file="pipelines/embed.py",
        old="off = np.abs(lengths - 1) > LENGTH_TOLERANCE",
        new="off = np.abs(lengths - 1) > np.inf",
        tests=("tests/pipelines/test_embed.py",),
    ),
)
