"""Hosts, a router, VNFs and an app container in Docker, in our words and in those of others."""

from emulator import Topo


class Containers(Topo):
    def build(self):
        self.addDocker("d1")
        self.addDocker(
            "d2",
            "registry.example:5000/tools/web:1.2",
            ip="10.0.0.9/8",
            command="serve --root '/srv/a b'",
            entrypoint=["/bin/entry"],
            environment={"LEVEL": 3, "NAME": "x"},
            user=1000,
            workdir="/srv",
            volumes=["/opt/data:/data:ro", "cache:/var/cache"],
            tmpfs={"/tmp": "size=64m"},
            ports=[80, "127.0.0.1:5300:53/udp", "0.0.0.0:8443:443"],
            cpus=1.5,
            cpu_shares=512,
            cpuset="0-1,3",
            memory="256m",
            memory_swap="1g",
            shm_size="64m",
            pids=100,
            cap_add=["SYS_PTRACE"],
            cap_drop=["MKNOD"],
            devices=["/dev/net/tun"],
            sysctls={"net.ipv4.tcp_ecn": 1},
            ulimits={"nofile": (1024, 2048), "core": 0},
            dns=["10.0.0.53"],
            hostname="web",
            labels=["course=networks"],
            read_only=True,
            healthcheck={"test": "curl -f localhost", "interval": "500ms", "retries": 3},
            healthy_within="10s",
            pull="never",
        )
        self.addDockerHost(
            "d3",
            dimage="debian",
            dcmd="sleep 60",
            docker_args={
                "cpu_quota": 50000,
                "mem_limit": "1g",
                "volumes": {"/opt/data": {"bind": "/data", "mode": "rw"}},
                "cap_drop": ["ALL"],
                "tty": True,
                "network_mode": "none",
            },
        )
        self.addRouter("r1", runtime="docker", dimage="debian", port_bindings={80: 8080})
        self.addAppContainer("probe", "d2", "busybox", command="top", memory="16m")
        self.addVNF("fwd", "forward", runtime="docker", cpus=0.5)
        self.addVNF("tap", "sampler", "xdp", runtime="docker", collector=1, image="mine/tap")
        self.addAppContainer("watch", "tap", "busybox")
        self.addLink("d1", "fwd")
        self.addLink("fwd", "r1")
        self.addLink("r1", "tap", params1={"ip": "172.16.0.1/12"})
        self.addLink("tap", "d3")
        self.addLink("d2", "d1")
