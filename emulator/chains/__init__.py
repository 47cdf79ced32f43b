"""Chains of a running lab: its switches steer some traffic through VNFs."""
