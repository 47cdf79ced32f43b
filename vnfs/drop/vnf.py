"""drop for the data plane python: one frame after another, as in vnf.c."""

from vnf import DROP, FORWARD, peer

MILLION = 1_000_000


class State:
    frames = 0


def happens(ctx, of_a_million):
    """True for so many of a million calls."""
    if of_a_million >= MILLION:
        return True
    # 32 random bits as a fraction of one, times a million.
    return (ctx.random() >> 32) * MILLION < of_a_million << 32


def handle(ctx, packet, port):
    ctx.state.frames += 1
    may_drop = ctx.state.frames % ctx.parameters.every == 0
    if may_drop and happens(ctx, ctx.parameters.chance_ppm):
        return DROP
    return FORWARD(peer(port))
