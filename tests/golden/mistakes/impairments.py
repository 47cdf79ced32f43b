"""Impaired links that cannot be."""

from emulator import Topo


class Impairments(Topo):
    def build(self):
        for name in ("h1", "h2"):
            self.addHost(name)
        for options in (
            {"delay": "-5ms"},
            {"delay": 5, "loss": "1", "rate": 10, "queue": 100},
            {"delay": "5 parsecs", "jitter": "soon"},
            {"delay": "1ms", "jitter": "2ms"},
            {"loss": "100.1%", "duplicate": -1, "corrupt": "nan%", "drop": [5, "x"]},
            {"rate": 0},
            {"bw": 0},
            {"rate": "10mbps"},
            {"rate": "1mbit", "burst": "1500b"},
            {"rate": "1mbit", "queue": "1KB"},
            {"queue": "100p", "aqm": "codel", "ecn": True},
            {"rate": "1mbit", "ecn": True},
            {"rate": "1mbit", "aqm": "red(min=90KB, max=30KB)"},
            {"rate": "1mbit", "aqm": "codel(target=1s)"},
            {"rate": "1mbit", "aqm": "pie"},
            {"rate": "1mbit", "bw": 1},
            {"loss": 1, "loss_model": "gemodel(p=1%)"},
            {"loss_model": "gemodel(r=25%)"},
            {"loss_model": "state(1%)"},
            {"reorder": "1%"},
            {"delay": "5ms", "jitter": "1ms", "distribution": "gauss"},
            {"delay": "5ms", "jitter": "1ms", "distribution": "missing.dist"},
            {"trace": "missing.trace"},
            {"delay": ("1ms", "2ms", "3ms"), "up": {"dealy": "1ms"}, "down": "1ms"},
            {"up": {"delay": "-1ms"}},
            {"bw": 10, "params1": {"bw": 20}},
            {"mechanism": "netm", "loss": 1},
            {"mechanism": "none", "loss": 1},
            {"mechanism": "netem", "delay": "5ms", "jitter": "1ms", "drop": [1], "seed": 7},
            {"kind": "memif", "loss": 1},
            {"dealy": "5ms"},
            {"seed": -1},
        ):
            self.addLink("h1", "h2", **options)
