"""What hosts, routers and VNFs have beyond their links: a share of the machine, folders of their
own, addresses that change, and ways out of the lab.
"""
