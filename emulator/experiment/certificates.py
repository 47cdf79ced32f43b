"""The certificate of a bench: its impaired links, measured before any traffic."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Literal

from emulator.experiment.measured import Record
from emulator.wire.certificate import Certificate, LinkCertificate, Verdict, worst

if TYPE_CHECKING:
    from emulator.experiment.prepare import PreparedCase
    from emulator.plan.model import LinkPlan, Plan

CertifyMode = Literal["require", "warn", "no"]
"""Whether links are measured first, and whether a run goes on with links that are not certified."""


class CertifiedCases(Record):
    """A certificate, and the cases whose links it is about."""

    cases: tuple[str, ...]
    certificate: Certificate


class CertificatesRecord(Record):
    """``certificates.json``: those of all cases. None: no link of any case is impaired."""

    version: Literal[1] = 1
    certified: tuple[CertifiedCases, ...]
    verdict: Verdict


def certify_cases(
    cases: Iterable[PreparedCase], on_step: Callable[[str, str], None]
) -> CertificatesRecord | None:
    """Measure the impaired links of all cases; one that several have in common, once.

    Args:
        on_step: told of a case, and what is done.

    Returns:
        None where no link is impaired.

    Raises:
        BuildVnfError: they cannot be measured.
    """
    from emulator.wire.certify import certify, impaired_links

    known: dict[object, LinkCertificate] = {}
    certificates: dict[tuple[object, ...], Certificate] = {}
    names: dict[tuple[object, ...], list[str]] = {}
    for ready in cases:
        plan, name = ready.plan, ready.case.name
        links = impaired_links(plan)
        if not links:
            continue
        keys = tuple(_key(plan, link) for link in links)
        names.setdefault(keys, []).append(name)
        if keys in certificates:
            continue
        new = {link.id for link, key in zip(links, keys, strict=True) if key not in known}
        found = certify(plan, links=new, progress=partial(_told, on_step, name))
        by_id = {each.link: each for each in found.links}
        for link, key in zip(links, keys, strict=True):
            known.setdefault(key, by_id.get(link.id) or known[key])
        all_links = tuple(known[key] for key in keys)
        verdict = worst(each.verdict for each in all_links)
        certificates[keys] = found.model_copy(update={"links": all_links, "verdict": verdict})
    if not certificates:
        return None
    return CertificatesRecord(
        certified=tuple(
            CertifiedCases(cases=tuple(names[keys]), certificate=certificate)
            for keys, certificate in certificates.items()
        ),
        verdict=worst(each.verdict for each in certificates.values()),
    )


def _key(plan: Plan, link: LinkPlan) -> object:
    """Equal for links of which one certificate tells all."""
    return link.id, link.mechanism, link.up, link.down, plan.interface(link.a).mtu


def _told(on_step: Callable[[str, str], None], case: str, step: str, _: int, __: int) -> None:
    on_step(case, step)
