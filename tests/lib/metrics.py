# SPDX-License-Identifier: MIT
"""Prometheus text format 0.0.4: read strictly, so that a page which Prometheus would refuse fails."""

import re

_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
_KINDS = ("counter", "gauge", "histogram", "summary", "untyped")


class Metrics(dict):
    """Maps 'name' or 'name{a="b"}' (labels sorted) to a number."""

    def total(self, name, **labels):
        """The sum of all series of a name that carry these labels; 0 when there is none."""
        wanted = {f'{key}="{value}"' for key, value in labels.items()}
        return sum(value for series, value in self.items()
                   if series.split("{")[0] == name and wanted <= set(_labels_of(series)))


def _labels_of(series):
    inside = series.partition("{")[2].rstrip("}")
    return [f'{name}="{value}"' for name, value in _LABEL.findall(inside)]


def _family(name, kinds):
    for suffix in ("_bucket", "_sum", "_count"):
        base = name.removesuffix(suffix)
        if base != name and kinds.get(base) in ("histogram", "summary"):
            return base
    return name


def _parse_labels(text, line):
    found, at = [], 0
    while at < len(text):
        match = _LABEL.match(text, at)
        assert match, f"bad labels: {line!r}"
        found.append((match.group(1), match.group(2)))
        at = match.end()
    assert len({name for name, _ in found}) == len(found), f"a label twice: {line!r}"
    return sorted(found)


def parse(text):
    """Returns Metrics; asserts the format: HELP and TYPE once and before the samples of a family,
    families in one piece, no series twice, values that are numbers, a last line break."""
    assert text.endswith("\n"), "the page does not end with a line break"
    helps, kinds, result, finished, current = set(), {}, Metrics(), set(), None
    for line in text.split("\n")[:-1]:
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            assert name not in helps, f"HELP twice: {name}"
            helps.add(name)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds, f"TYPE twice: {name}"
            assert kind in _KINDS, f"unknown TYPE: {line!r}"
            kinds[name] = kind
        elif line and not line.startswith("#"):
            match = _SAMPLE.match(line)
            assert match, f"not a sample: {line!r}"
            name, labels = match.group(1), _parse_labels(match.group(3) or "", line)
            family = _family(name, kinds)
            assert family in kinds and family in helps, f"no TYPE or HELP before {line!r}"
            if family != current:
                assert family not in finished, f"family in two pieces: {family}"
                finished.add(current)
                current = family
            inside = ",".join(f'{key}="{value}"' for key, value in labels)
            series = f"{name}{{{inside}}}" if inside else name
            assert series not in result, f"series twice: {series}"
            result[series] = float(match.group(4))
            if kinds[family] == "counter":
                assert result[series] >= 0, f"a negative counter: {line!r}"
    return result
