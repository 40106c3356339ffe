"""What the encoder benchmark tells: the machine, figures from samples, and Markdown tables."""

import os
import platform
from pathlib import Path
from statistics import mean, median

import encoder_data as data

FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
OURS = "mesh-"


def machine(busy: float) -> dict:
    """The CPU, and how much of it others took before anything was measured (percent)."""
    fields = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    there = (fields.get("flags") or fields.get("Features", "")).split()
    flags = {flag: flag in there for flag in FLAGS}
    cpu = fields.get("model name") or platform.machine()
    return {"cpu": cpu, "cores": os.cpu_count(), "flags": flags, "busy_percent": busy}


def lengths(texts: list[data.Ids]) -> dict[str, float]:
    """How long the texts are, in tokens."""
    sizes = sorted(map(len, texts))
    return {"count": len(sizes), "median": median(sizes), "mean": mean(sizes), "max": sizes[-1]}


def results(
    rows: dict, texts: data.Texts, config: dict, peak: dict[str, float], clock: str
) -> dict[str, dict]:
    """The figures of each engine."""
    sizes = {f"{size} tokens": size for size in texts.fixed}
    operations = {name: data.operations(config, size) for name, size in sizes.items()}
    operations["mix"] = mean(data.operations(config, len(ids)) for ids in texts.mix)
    counts = {name: len(texts.fixed[size]) for name, size in sizes.items()}
    counts["mix"] = len(texts.mix)
    told = {}
    for name, row in rows.items():
        seconds = {work: row.seconds(work, clock) / count for work, count in counts.items()}
        gflops = {work: operations[work] / seconds[work] / 1e9 for work in counts}
        best = peak.get(row.loaded["precision"])
        one_thread = [sample for work in counts for sample in row.samples[work]]
        told[name] = {
            "variant": row.spec.name,
            "precision": row.loaded["precision"],
            "version": row.loaded.get("version"),
            "milliseconds": {size: seconds[size] * 1e3 for size in sizes},
            "texts_per_second": 1 / seconds["mix"],
            "gflops": gflops,
            "share_of_peak": best and {work: found / best for work, found in gflops.items()},
            "wall_to_cpu": median(sample["wall"] / sample["cpu"] for sample in one_thread),
            **row.told,
            "samples": row.samples,
        }
    return told


def table(header: list[str], lines: list[list[str]]) -> list[str]:
    """A table in Markdown."""
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *lines)]


def speed(results: dict[str, dict]) -> list[str]:
    """Milliseconds and texts per second, and the ratio to the fastest peer."""
    peers = [r["texts_per_second"] for name, r in results.items() if not name.startswith(OURS)]
    sizes = list(next(iter(results.values()))["milliseconds"])
    header = ["engine", *(f"{size}, ms" for size in sizes)]
    header += ["mix, texts/s", "ratio", "in batches of"]
    lines = [
        [
            name,
            *(f"{result['milliseconds'][size]:.2f}" for size in sizes),
            f"{result['texts_per_second']:,.0f}",
            f"{result['texts_per_second'] / max(peers):.2f}" if peers else "-",
            result["policy"],
        ]
        for name, result in results.items()
    ]
    return table(header, lines)


def use_of_peak(results: dict[str, dict]) -> list[str]:
    """GFLOP/s, and the share of the machine's peak where that is known."""
    works = list(next(iter(results.values()))["gflops"])

    def cell(result: dict, work: str) -> str:
        share = result["share_of_peak"]
        return f"{result['gflops'][work]:.0f}" + (f" ({share[work]:.0%})" if share else "")

    header = ["engine", "products in", *(f"{work}, GFLOP/s" for work in works)]
    lines = [
        [name, result["precision"], *(cell(result, work) for work in works)]
        for name, result in results.items()
    ]
    return table(header, lines)


def rest(results: dict[str, dict]) -> list[str]:
    """Agreement, threads, start, memory."""
    header = ["engine", "cosine, least", "mean", "same neighbour", "two threads", "cores had"]
    header += ["start, ms", "of it opening", "memory, MB", "before opening"]
    lines = []
    for name, result in results.items():
        agreed, two, cold, memory = (
            result.get(key) for key in ("agreement", "two_threads", "cold", "memory")
        )
        lines.append(
            [
                name,
                f"{agreed['min']:.5f}",
                f"{agreed['mean']:.5f}",
                f"{agreed['neighbour']:.1%}",
                *((f"x {two['speedup']:.2f}", f"{two['cores']:.2f}") if two else ("-", "-")),
                f"{cold['wall'] * 1e3:.0f}",
                f"{cold['load'] * 1e3:.0f}",
                f"{memory['mix'] / 1e6:.0f}",
                f"{memory['bare'] / 1e6:.0f}",
            ]
        )
    return table(header, lines)


def absences(absent: dict[str, str]) -> list[str]:
    """A sentence for engines that are not there, by the reason."""
    reasons: dict[str, list[str]] = {}
    for name, why in absent.items():
        reasons.setdefault(why, []).append(name)
    return [
        f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} absent: {why}."
        for why, names in reasons.items()
    ]


def remarks(told: dict) -> list[str]:
    """What a reader has to know to read the tables."""
    results, machine, texts = told["results"], told["machine"], told["texts"]
    flags = machine["flags"]
    there, missing = ([f for f in flags if flags[f] is have] for have in (True, False))
    said = [
        f"CPU: {machine['cpu']}, {machine['cores']} cores, with {', '.join(there) or 'none'} of "
        f"the flags that matter, without {', '.join(missing) or 'none'}.",
        f"The mix: {texts['count']} texts, median {texts['median']:.0f}, mean "
        f"{texts['mean']:.0f}, at most {texts['max']} tokens; medians of {told['rounds']} rounds. "
        "Ratios are to the fastest peer on the mix.",
    ]
    if not flags["amx_bf16"] and "openvino-bf16" in results:
        how = "avx512_bf16" if flags["avx512_bf16"] else "no bf16 instructions"
        said.append(
            f"There is no AMX here: openvino-bf16 has {how}, and computes products in "
            f"{results['openvino-bf16']['precision']}. Its figures say nothing of a CPU with AMX."
        )
    ratio = median(result["wall_to_cpu"] for result in results.values())
    clock = {"cpu": "CPU time of the process", "wall": "wall time"}[told["clock"]]
    said.append(
        f"Times of one thread are {clock}; wall time was {ratio:.2f} times CPU time, and others "
        f"took {machine['busy_percent']:.0f}% of the machine before the start. Two threads and "
        "starts are wall time, which is right on an idle machine only: `cores had` tells how much "
        "of two cores an engine used or got."
    )
    peak = told["peak_gflops"]
    if peak:
        known = ", ".join(f"{name} {gflops:,.0f}" for name, gflops in peak.items())
        said.append(f"Peak of one core, measured: {known} GFLOP/s.")
    else:
        said.append(f"The machine's peak is not known: {told['no_peak']}.")
    variants = [result["variant"] for name, result in results.items() if result["variant"] != name]
    if variants:
        said.append(f"Variants taken: {'; '.join(variants)}.")
    return said + absences(told["absent"])


def markdown(told: dict) -> list[str]:
    """Everything."""
    results = told["results"]
    parts = [speed(results), use_of_peak(results), rest(results), remarks(told)]
    return [line for part in parts for line in ("", *part)][1:]
