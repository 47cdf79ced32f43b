"""Containers that cannot be had: all that is wrong with them, at once."""

from emulator import Topo


class Containers(Topo):
    def build(self):
        self.addHost("h1", image="debian", memory="1g")
        self.addHost("h2", runtime="dcoker")
        self.addSwitch("s1", runtime="docker")
        self.addSwitch("s2", cpus=1)
        wrong = (
            {"image": "Debian"},
            {"memroy": "1g", "cpus": "half", "cpuset": "1-0", "pids": 1.5},
            {"memory": "1m", "memory_swap": "2q", "shm_size": -1, "cpu_shares": 1},
            {"memory": "1g", "memory_swap": "512m"},
            {"memory": "1g", "mem_limit": "2g"},
            {"cpus": 1, "docker_args": {"cpu_quota": 50000, "hostnmae": "x"}},
            {"cpu_period": 1000},
            {"privileged": True, "network_mode": "host", "publish_all_ports": True},
            {"storage_opt": {"size": "1g"}, "docker_args": {"security_opt": ["seccomp=x"]}},
            {"command": "echo 'a", "entrypoint": 3, "workdir": "srv", "user": "a b"},
            {"environment": ["A"], "labels": {"build-vnf.lab": "x"}, "hostname": "-"},
            {"volumes": ["/data", "a:b"]},
            {"volumes": {"/data": {"bind": "/x", "mode": "rx"}}, "tmpfs": ["tmp"]},
            {"ports": [80, "70000:80"]},
            {"ports": "80/sctp", "dns": "example.org", "devices": ["tun"]},
            {"ports": [80], "port_bindings": [8080]},
            {"cap_add": ["NET_ADMN"], "cap_drop": 3},
            {"cap_add": ["ALL"]},
            {"cap_add": ["KILL"], "cap_drop": ["KILL"]},
            {"sysctls": {"vm.swappiness": 1, "net.ipv4.conf.eth0.forwarding": 1}},
            {"ulimits": {"nofiles": 1}, "read_only": 1, "pull": "often"},
            {"healthcheck": {"tset": "true"}, "healthy_within": "soon"},
            {"build_arguments": {"A": "1"}, "build_params": {"dockerfile": "x"}},
            {"cpu": 0.5, "privateDirs": ["/tmp"]},
            {"ports": [{}], "docker_args": ["mem_limit"]},
        )
        for number, options in enumerate(wrong, start=1):
            self.addDocker(f"d{number}", **options)
        self.addDocker("e1", ports={80: 8080})
        self.addDocker("e2", ports={81: ("0.0.0.0", 8080)})
        self.addAppContainer("a1", "h1", "debian")
        self.addAppContainer("a2", "a3", "debian")
        self.addAppContainer("a3", "e1", "debian", ip="10.0.0.1/8", hostname="x")
        self.addAppContainer("a4", "e3", "debian", sysctls={"net.ipv4.tcp_ecn": 1})
        self.addAppContainer("a5", "a5", "debian")
        self.addVNF("v1", "forward", "xdp", runtime="docker", command="x", memroy="1g")
        self.addVNF("v2", "forward", cpus=1)
        self.addLink("a3", "s1")
        for name in ("v1", "v2"):
            self.addLink(name, self.addHost(f"{name}a"))
            self.addLink(name, self.addHost(f"{name}b"))
