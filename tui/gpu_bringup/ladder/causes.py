"""The causes that rungs can name: id -> title for the screen, and where the knowledge comes from.

The ids are the project's failure catalogue; an id without sources is a plain statement about facts
that needs none.
"""

from __future__ import annotations

from gpu_bringup.model.ladder import Cause, Evidence

KNOWN: dict[str, tuple[str, tuple[str, ...]]] = {
    "no-gpu-found": ("No NVIDIA GPU on the PCI bus", ()),
    "modules-not-loadable": ("This kernel cannot load modules", ()),
    "inside-chroot": ("This is a chroot: the kernel that runs is another system's", ()),
    "arch-not-supported": ("NVIDIA has no server driver for this processor", ()),
    "read-only-system": ("The system's own file system is read-only", ()),
    "clock-wrong": ("The clock is wrong: repositories and certificates look invalid", ()),
    "distribution-not-known": ("This distribution is not one that can be set up here", ()),
    "repository-not-configured": ("The place that the driver comes from is not switched on", ()),
    "kernel-not-installed": ("The kernel to prepare is not installed", ()),
    "driver-not-installed": ("No NVIDIA driver is installed", ()),
    "driver-other-than-target": ("Another driver than the chosen one is installed", ()),
    "module-not-loaded": ("The driver is built, but not loaded", ()),
    "driver-libraries-missing": ("The driver's libraries are missing", ()),
    "gpu-missing-in-nvml": ("The driver does not show every GPU", ()),
    "pcie-link-degraded": ("A GPU's PCIe link is narrower than it could be", ()),
    "gpu-memory-slow": ("A GPU's memory is much slower than the model's", ()),
    "host-link-slow": ("The link between host and GPU is much slower than it should be", ()),
    "gpu-wrong-results": ("A GPU computes wrong results", ()),
    "cuda-init-failed": ("CUDA does not start", ()),
    "gpu-not-bound": ("The driver is loaded, but does not hold this GPU", ()),
    "cuda-sees-fewer": ("CUDA is kept from some of the GPUs that the driver shows", ()),
    "fabric-failed": ("The NVLink fabric could not be set up for a GPU", ()),
    "xid-gpu-fault": (
        "A GPU reports a fault that needs a reset or a look at the hardware",
        ("https://docs.nvidia.com/deploy/xid-errors/index.html",),
    ),
    "imex-missing": ("IMEX is missing on a rack-scale NVLink system", ()),
    "unattended-upgrade-unguarded": ("An unattended upgrade may replace a part of the driver", ()),
    "partial-hold": ("Only a part of the driver's packages is held", ()),
    "headers-missing": (
        "Headers for the running (or next) kernel are absent",
        (
            "https://github.com/GoogleCloudPlatform/compute-gpu-installation/issues/25",
            "https://github.com/Frogging-Family/linux-tkg/issues/229",
            "https://github.com/elementary/os-patches/issues/155",
            "https://github.com/negativo17/nvidia-driver/issues/105",
        ),
    ),
    "headers-meta-not-following": (
        "Image meta follows the kernel, header meta does not",
        ("https://github.com/GoogleCloudPlatform/compute-gpu-installation/issues/25",),
    ),
    "kernel-devel-mismatch": (
        "Headers present, but for another kernel version",
        ("https://github.com/NVIDIA/ansible-role-nvidia-driver/issues/18",),
    ),
    "kernel-upgraded-module-not-built": (
        "New kernel booted, nobody built a module for it",
        (
            "https://github.com/GoogleCloudPlatform/compute-gpu-installation/issues/10",
            "https://github.com/CachyOS/linux-cachyos/issues/118",
            "https://github.com/NVIDIA/nvidia-docker/issues/365",
            "https://github.com/junxnone/tio/issues/206",
        ),
    ),
    "dkms-build-api-break": (
        "Driver too old for the kernel",
        (
            "https://github.com/NVIDIA/open-gpu-kernel-modules/issues/642",
            "https://github.com/NVIDIA/open-gpu-kernel-modules/issues/837",
            "https://github.com/NixOS/nixpkgs/issues/377532",
            "https://github.com/NixOS/nixpkgs/issues/90459",
        ),
    ),
    "dkms-build-gpl-symbol": (
        "modpost refuses a GPL-only symbol",
        (
            "https://github.com/xanmod/linux/issues/411",
            "https://github.com/NVIDIA/gpu-operator/issues/729",
            "https://github.com/zabbly/linux/issues/43",
        ),
    ),
    "gcc-mismatch": (
        "Compiler older or other than the one that built the kernel",
        (
            "https://bugs.launchpad.net/ubuntu/+source/dkms/+bug/1991664",
            "https://alioth-lists.debian.net/pipermail/pkg-nvidia-devel/2018-September/016405.html",
            "https://github.com/aws/aws-parallelcluster-cookbook/pull/577",
            "https://github.com/NVIDIA/gpu-operator/issues/564",
        ),
    ),
    "preempt-rt-kernel": (
        "Real-time kernel refused",
        (
            "https://github.com/xanmod/linux/issues/65",
            "https://github.com/NVIDIA/open-gpu-kernel-modules/issues/1240",
            "https://github.com/manjaro/packages-community/issues/367",
        ),
    ),
    "dkms-tree-broken": (
        "dkms tree points to missing sources",
        (
            "https://github.com/negativo17/nvidia-driver/issues/56",
            "https://github.com/pop-os/system76-driver/issues/336",
            "https://github.com/pop-os/system76-io-dkms/issues/11",
        ),
    ),
    "dkms-built-installed-diff": (
        '"Diff between built and installed module"',
        (
            "https://github.com/strongtz/i915-sriov-dkms/issues/274",
            "https://github.com/dkms-project/dkms/pull/291",
        ),
    ),
    "weak-modules-stale-kmod": (
        "Old module linked through weak-updates",
        (
            "https://github.com/negativo17/nvidia-driver/issues/97",
            "https://github.com/dkms-project/dkms/issues/17",
        ),
    ),
    "boot-partition-full": (
        "/boot (or ESP) full: initramfs not written",
        (
            "https://github.com/linuxmint/mintupdate/issues/823",
            "https://github.com/tuxedocomputers/linux/issues/7",
            "https://github.com/pop-os/pop/issues/3593",
        ),
    ),
    "dkms-disk-full": (
        "No space while building",
        (),
    ),
    "dpkg-interrupted": (
        "Package database half-configured",
        ("https://github.com/NVIDIA/open-gpu-kernel-modules/issues/188",),
    ),
    "held-or-broken-packages": (
        "Holds or unmet dependencies block the driver",
        (),
    ),
    "repo-signing-key": (
        "Repository key missing or rotated",
        (
            "https://github.com/NVIDIA/nvidia-docker/issues/1631",
            "https://github.com/nytimes/rd-blender-docker/issues/41",
        ),
    ),
    "mixed-runfile-and-packages": (
        ".run installer and packages on one host",
        (
            "https://github.com/lyulyul/shine-cluster/issues/50",
            "https://github.com/SyneRBI/SIRF-SuperBuild/issues/273",
        ),
    ),
    "duplicate-userspace-versions": (
        "Two sets of driver libraries",
        (
            "https://github.com/NixOS/nixpkgs/issues/138943",
            "https://github.com/hpc-admin-sist/DockerMonitor/issues/12",
        ),
    ),
    "driver-library-mismatch": (
        "Libraries upgraded under a loaded module",
        (
            "https://github.com/lyulyul/shine-cluster/issues/30",
            "https://github.com/stackhpc/ansible-slurm-appliance/issues/287",
            "https://github.com/NVIDIA/nvidia-docker/issues/182",
            "https://github.com/NVIDIA/nvidia-container-toolkit/issues/394",
        ),
    ),
    "driver-library-mismatch-stale-on-disk": (
        "Libraries new, module on disk old",
        (
            "https://github.com/illinois-scicomp/machine-shop-maintenance/issues/70",
            "https://github.com/ublue-os/bazzite/issues/2668",
            "https://github.com/negativo17/nvidia-driver/issues/167",
        ),
    ),
    "initramfs-stale-module": (
        "Old module sits in the initramfs",
        ("https://github.com/openSUSE/sdbootutil/issues/22",),
    ),
    "sb-unsigned-module": (
        "Secure Boot on, module unsigned",
        (
            "https://github.com/NVIDIA/gpu-operator/issues/1726",
            "https://github.com/scarburato/t150_driver/issues/72",
            "https://github.com/NVIDIA/gpu-operator/issues/266",
        ),
    ),
    "sb-mok-not-enrolled": (
        "Module signed, key not enrolled",
        (
            "https://github.com/gridhead/nvidia-auto-installer-for-fedora-linux/issues/107",
            "https://github.com/awesometic/realtek-r8126-dkms/issues/3",
            "https://github.com/saidsay-so/acpi_ec/issues/18",
        ),
    ),
    "kernel-lockdown": (
        "Lockdown or sig_enforce without usable key",
        ("https://github.com/bottlerocket-os/bottlerocket/issues/4218",),
    ),
    "nouveau-loaded": (
        "nouveau has the device",
        (
            "https://github.com/mattshma/bigdata/issues/133",
            "https://github.com/NVIDIA/gpu-operator/issues/8",
            "https://github.com/negativo17/nvidia-driver/issues/73",
        ),
    ),
    "gpu-bound-to-vfio": (
        "Device reserved for passthrough",
        ("https://github.com/jurkovic-nikola/OpenLinkHub/pull/174",),
    ),
    "module-blacklisted": (
        "modprobe.d keeps nvidia out",
        (
            "https://github.com/canonical/nvidia-prime/issues/20",
            "https://github.com/Askannz/optimus-manager/issues/507",
            "https://github.com/openSUSE/SUSEPrime/issues/79",
        ),
    ),
    "proprietary-module-on-open-only-gpu": (
        "Closed flavour on Blackwell (or newer)",
        (
            "https://github.com/daisuke716/prefure-wiki/blob/HEAD/i18n/ja/docusaurus-plugin-content-docs/current/logs/errorSolutions/ubuntu-5090-driver-fail.md",
            "https://github.com/oddmario/NVIDIA-Ubuntu-Driver-Guide/issues/10",
        ),
    ),
    "open-module-on-pre-turing": (
        "Open flavour on Volta/Pascal/Maxwell",
        (
            "https://github.com/negativo17/nvidia-driver/issues/158",
            "https://github.com/NVIDIA/open-gpu-kernel-modules/issues/322",
            "https://github.com/NVIDIA/open-gpu-kernel-modules/issues/696",
        ),
    ),
    "gpu-not-supported-by-release": (
        "Driver older than the GPU",
        ("https://github.com/NVIDIA/nvtrust/issues/55",),
    ),
    "gsp-firmware-missing": (
        "GSP firmware file for this version not found",
        (
            "https://github.com/NixOS/nixpkgs/issues/454772",
            "https://github.com/endlessm/eos-meta/pull/811",
        ),
    ),
    "gsp-firmware-mismatch": (
        "Firmware of another version than the module",
        ("https://github.com/Nobara-Project/rpm-sources/issues/526",),
    ),
    "xid-79-fallen-off-bus": (
        "GPU fell off the bus (Xid 79)",
        ("https://github.com/NVIDIA/open-gpu-kernel-modules/issues/507",),
    ),
    "xid-119-gsp-timeout": (
        "GSP does not answer (Xid 119/120)",
        ("https://github.com/NVIDIA/open-gpu-kernel-modules/issues/446",),
    ),
    "xid-ecc-row-remap": (
        "ECC, row remap, page retirement (Xid 48/63/64/92/94/95/171)",
        (
            "https://docs.nvidia.com/deploy/a100-gpu-mem-error-mgmt/index.html",
            "https://docs.nvidia.com/deploy/xid-errors/index.html",
            "https://github.com/wtdcode/vllm-backport/issues/62",
        ),
    ),
    "xid-74-nvlink": (
        "NVLink errors (Xid 74, 144-150; SXid)",
        ("https://github.com/NVIDIA/open-gpu-kernel-modules/issues/1118",),
    ),
    "rminit-failed-hardware": (
        "RM cannot start the GPU, flavour and firmware are right",
        (
            "https://github.com/NVIDIA/open-gpu-kernel-modules/issues/789",
            "https://github.com/NVIDIA/open-gpu-kernel-modules/issues/543",
            "https://github.com/NVIDIA/open-gpu-kernel-modules/issues/1104",
        ),
    ),
    "bar-not-assigned": (
        "PCI BAR not assigned",
        (
            "https://github.com/Dunedan/mbp-2016-linux/issues/60",
            "https://github.com/NVIDIA/open-gpu-kernel-modules/issues/862",
        ),
    ),
    "iommu-acs-p2p": (
        "IOMMU/ACS breaks peer-to-peer",
        (
            "https://github.com/NVIDIA/nccl/issues/2079",
            "https://github.com/NVIDIA/nccl/issues/304",
            "https://github.com/NVIDIA/nccl/issues/257",
        ),
    ),
    "mig-state": (
        "MIG on without instances, or mixed MIG",
        ("https://github.com/wilicc/gpu-burn/issues/36",),
    ),
    "device-nodes-missing": (
        "/dev/nvidia* absent",
        (),
    ),
    "device-permissions": (
        "Nodes exist, users may not open them",
        (
            "https://github.com/openSUSE/nvidia-driver-G06/issues/52",
            "https://github.com/NVIDIA/nvidia-container-toolkit/issues/210",
            "https://github.com/vowstar/vowstar-overlay/issues/6",
        ),
    ),
    "uvm-not-loaded": (
        "nvidia_uvm missing",
        (
            "https://github.com/NVlabs/nvbio-gpl/issues/7",
            "https://github.com/Bumblebee-Project/Bumblebee/issues/854",
        ),
    ),
    "uvm-hmm-init-failure": (
        "HMM in nvidia_uvm makes cuInit fail (error 3)",
        (
            "https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/index.html",
            "https://github.com/NVIDIA/open-gpu-kernel-modules/issues/797",
            "https://github.com/ollama/ollama/issues/11593",
            "https://github.com/NVIDIA/open-gpu-kernel-modules/issues/901",
        ),
    ),
    "persistenced-failed": (
        "nvidia-persistenced does not start",
        ("https://github.com/Bumblebee-Project/Bumblebee/issues/1093",),
    ),
    "fabricmanager-not-running": (
        "NVSwitch system without fabric manager (802)",
        (
            "https://github.com/gpustack/gpustack/issues/1254",
            "https://github.com/pytorch/pytorch/issues/35710",
        ),
    ),
    "fabricmanager-version-mismatch": (
        "Fabric manager of another version than the driver",
        (
            "https://github.com/NVIDIA/gpu-operator/issues/544",
            "https://github.com/NVIDIA/gpu-driver-container/issues/735",
            "https://github.com/NVIDIA/nvtrust/issues/55",
            "https://github.com/NVIDIA/gpu-operator/issues/121",
        ),
    ),
    "nvlink5-prereqs-missing": (
        "HGX B200/B300: nvlsm / ib_umad / mlx5_ib missing",
        (
            "https://docs.nvidia.com/datacenter/tesla/fabric-manager-user-guide/index.html",
            "https://github.com/spectrocloud/CanvOS/pull/700",
            "https://github.com/NVIDIA/gpu-operator/issues/2781",
            "https://github.com/siderolabs/docs/pull/581",
        ),
    ),
    "cuda-driver-too-old": (
        "Toolkit/image newer than the driver (35)",
        ("https://github.com/NVIDIA/nvidia-docker/issues/106",),
    ),
    "cuda-compat-unsupported-804": (
        "Forward compatibility where not allowed",
        (
            "https://github.com/AIR-DISCOVER/ICRA2024-Sim2Real-AXS/issues/5",
            "https://github.com/oobabooga/textgen/issues/4407",
        ),
    ),
    "libcuda-mismatch-803": (
        "libcuda and kernel module disagree",
        ("https://github.com/gpustack/gpustack/issues/4678",),
    ),
    "libcuda-stub": (
        "Stub library loaded (34)",
        (
            "https://github.com/numba/numba/issues/9732",
            "https://github.com/NVIDIA/warp/issues/219",
        ),
    ),
    "container-toolkit-missing": (
        "Toolkit absent or runtime not configured",
        (
            "https://github.com/OpenBMB/XAgent/issues/273",
            "https://github.com/NVIDIA/nvidia-docker/issues/1243",
            "https://github.com/NVIDIA/dcgm-exporter/issues/33",
        ),
    ),
    "container-host-driver-absent": (
        "Host driver not installed/loaded",
        (
            "https://github.com/NVIDIA/libnvidia-container/issues/231",
            "https://github.com/docker/for-win/issues/13835",
        ),
    ),
    "kernel-modules-package-missing": (
        "drm/video/ib modules live in a package that is not installed",
        (
            "https://github.com/NVIDIA/nvidia-docker/issues/189",
            "https://github.com/AlmaLinux/wiki/issues/814",
        ),
    ),
    "repo-or-branch-package-conflict": (
        "Packages of two driver series are mixed",
        ("https://github.com/NVIDIA/nvidia-container-toolkit/issues/394",),
    ),
    "kernel-flavour-change": (
        "Another flavour of the kernel was booted, and no module was built for it",
        (),
    ),
    "precompiled-modules-missing-ubuntu": (
        "Ubuntu's prebuilt modules for this kernel are not installed",
        (),
    ),
    "precompiled-kmod-missing": (
        "There is no prebuilt module package for this kernel",
        (),
    ),
    "sb-key-not-trusted-by-kernel": (
        "The key is enrolled where this kernel doesn't look for modules",
        (),
    ),
    "sb-enabled-after-install": (
        "Secure Boot was switched on after the driver was installed",
        (),
    ),
    "cdi-spec-stale": (
        "The CDI file names libraries of the driver before",
        (),
    ),
    "legacy-gpu-branch": (
        "GPU only served by a legacy branch",
        (
            "https://github.com/siderolabs/talos/issues/8764",
            "https://github.com/NixOS/nixos-hardware/issues/1880",
        ),
    ),
}


def cause(cause_id: str, confidence: float, *evidence: Evidence) -> Cause:
    """A cause with its title and sources.

    Args:
        cause_id: one of ``KNOWN``.
        confidence: 0 to 1; facts give 0.9 and more, log texts alone less.
        evidence: what speaks for it.

    Raises:
        KeyError: no such cause (a mistake in a rung).
    """
    title, sources = KNOWN[cause_id]
    return Cause(cause_id, title, confidence, evidence, sources)
