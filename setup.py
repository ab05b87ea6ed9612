"""Map the code folders to ``flow_rag_vla.<folder>``; everything else is in pyproject.toml."""

from setuptools import find_packages, setup

FOLDERS = ("tasks", "agents", "memory", "benchmark", "reports")

setup(
    packages=[
        f"flow_rag_vla.{package}"
        for folder in FOLDERS
        for package in (folder, *(f"{folder}.{subpackage}" for subpackage in find_packages(folder)))
    ],
    package_dir={f"flow_rag_vla.{folder}": folder for folder in FOLDERS},
    package_data={
        "flow_rag_vla.agents": ["checkpoints/**/*"],
        "flow_rag_vla.benchmark": ["certification/certificates/*/*"],
        "flow_rag_vla.reports": ["templates/**/*"],
        "flow_rag_vla.tasks": ["scenarios/examples/*"],
    },
)
