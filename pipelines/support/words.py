"""Numbers for people, in a stage's notes."""


def short(value: float, unit: str) -> str:
    """Three digits and a prefix: 41.7 MFLOP, 1.29 TB."""
    power = next((p for p in range(5) if value < 1000 ** (p + 1)), 5)
    return f"{value / 1000**power:{',.0f' if power == 5 else '.3g'}} {('', 'k', 'M', 'G', 'T', 'P')[power]}{unit}"
