"""A grid of switches whose edges are joined: a network full of loops, and the way out of them.

    s1x1 --- s1x2 --- s1x3 --- (back to s1x1)
     |        |        |
    s2x1 --- s2x2 --- s2x3 --- (back to s2x1)
     |        |        |
    s3x1 --- s3x2 --- s3x3 --- (back to s3x1)
     |        |        |
    (each column is joined with its own top as well)

A learning switch sends a frame for everyone out of all its other ports, so in a loop such a
frame would come back and be sent again, for ever. The switches here run the spanning tree
protocol (``stp=True``): they agree on a tree and keep the other links in reserve. Start it with
``vnf run --topo torus,3,3``; the switches take up to half a minute to agree, and again after
``link s1x1 s1x2 down``. Leave ``stp=True`` out of your own copy, and ``vnf plan`` refuses it.
"""

from emulator import Topo, UsageError


class Torus(Topo):
    """x times y switches, joined in rings both ways, with n hosts each."""

    def build(self, x: int = 3, y: int = 3, n: int = 1) -> None:
        if x < 3 or y < 3:
            raise UsageError(
                f"a torus of {x} times {y} switches has no rings",
                where="torus",
                hint="give each direction 3 or more: torus,3,3",
            )
        grid = [[self._corner(f"{row}x{column}", row, column, n) for column in range(1, y + 1)]
                for row in range(1, x + 1)]  # fmt: skip
        for row in range(x):
            for column in range(y):
                self.addLink(grid[row][column], grid[row][(column + 1) % y])
                self.addLink(grid[row][column], grid[(row + 1) % x][column])

    def _corner(self, at: str, row: int, column: int, n: int) -> str:
        switch = self.addSwitch(f"s{at}", dpid=f"{row * 256 + column:x}", stp=True)
        for position in range(1, n + 1):
            name = f"h{at}" if n == 1 else f"h{at}x{position}"
            self.addLink(self.addHost(name), switch)
        return switch


topos = {"torus": Torus}
