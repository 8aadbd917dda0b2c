"""What a person must do or decide, by cause: words for where no step can."""

from __future__ import annotations

BY_HAND = {
    "signing-key-folder-open": "Others may write to a folder on the way to the signing key, and so could put "
    "another key in its place: close it (chmod go-w FOLDER, chown root FOLDER), or move the key below a "
    "folder of root alone. Which other programs use the folder only you know.",
    "gpu-bound-to-vfio": "A GPU is reserved for passthrough to a virtual machine. Only you know whether "
    "it shall stay so; if not, take its ids out of vfio-pci.ids (kernel command line, modprobe.d) and "
    "reboot.",
    "xid-79-fallen-off-bus": "A GPU fell off the bus: power the server off completely, check seating, "
    "power and cooling, and start it again. A reset from here can't reach it.",
    "xid-ecc-row-remap": "A GPU has memory errors: end its programs and reset it (nvidia-smi "
    "--gpu-reset), or replace the board where remapping failed.",
    "xid-119-gsp-timeout": "A GPU's own processor stopped answering: end its programs, reset it "
    "(nvidia-smi --gpu-reset) or power-cycle, and update driver and firmware if it comes back.",
    "xid-74-nvlink": "NVLink reports fatal errors: reset all GPUs of this board together, then reseat or "
    "replace the board that the lines name.",
    "rminit-failed-hardware": "The driver can't start a GPU: power the server off completely (not a warm "
    "reboot) and start it again; if it stays so, swap slot or board.",
    "bar-not-assigned": "The firmware gave the GPU no memory window: switch Above 4G Decoding on in the "
    "firmware's settings.",
    "pcie-link-degraded": "A PCIe link is narrower than it could be: reseat the board, check riser, slot "
    "and the firmware's lane settings.",
    "gpu-missing-in-nvml": "The driver leaves a GPU out: read the NVRM lines in the kernel's log, then "
    "power-cycle the server.",
    "gpu-wrong-results": "A GPU computes wrong results: take it out of service and have it replaced.",
    "iommu-acs-p2p": "Direct traffic between GPUs is damaged: switch ACS off for the bridges between them "
    "(or boot with iommu=pt), unless virtual machines need it.",
    "mig-state": "MIG is on, but there are no instances: make them (nvidia-smi mig -cgi … -C), or switch "
    "MIG off.",
    "preempt-rt-kernel": "The driver refuses real-time kernels: boot the distribution's standard kernel.",
    "kernel-not-installed": "The kernel to prepare is not installed: install it, or name another one.",
    "module-blacklisted": "A file in modprobe.d keeps NVIDIA's modules out. Somebody put it there (often "
    "prime-select or passthrough): remove it if it isn't wanted, then rebuild the initramfs.",
    "dkms-build-api-break": "The installed driver does not compile on this kernel: choose a driver that "
    "does (gpu-bringup recommend), or boot the previous kernel until then.",
    "dkms-build-gpl-symbol": "The proprietary modules do not link on this kernel: choose the open ones or "
    "a newer driver (gpu-bringup recommend).",
    "gpu-not-supported-by-release": "The installed driver is older than this GPU: choose a newer one "
    "(gpu-bringup recommend).",
    "proprietary-module-on-open-only-gpu": "This GPU needs the open modules: choose a driver with them "
    "(gpu-bringup recommend).",
    "open-module-on-pre-turing": "This GPU needs the proprietary modules, branch 580 or older: choose such "
    "a driver (gpu-bringup recommend).",
    "driver-not-installed": "No driver was chosen yet: gpu-bringup recommend shows which fits, and "
    "gpu-bringup apply installs it.",
    "driver-libraries-missing": "The driver's libraries are missing: install the driver as a whole "
    "(gpu-bringup apply).",
    "distribution-not-known": "This distribution can't be set up from here: install its own NVIDIA "
    "packages by hand; check and verification work all the same.",
    "kernel-lockdown": "Policy demands modules that are signed by a key built into this kernel (lockdown or "
    "module.sig_enforce): where you have that key, name it with --signing-key. Whether to relax the policy "
    "is a security decision of yours; nothing is changed here.",
}
"""What only a person can do or decide, by cause: said whatever the plan does besides."""

IF_NO_STEP = {
    "sb-key-revoked": "Make a pair that nobody revoked and name it: 'gpu-bringup apply --signing-key NEW.key "
    "--signing-certificate NEW.der' signs the modules with it and asks the firmware to trust it. What was "
    "revoked stays revoked: somebody did that on purpose.",
    "no-gpu-found": "Check seating and power, the slot and Above 4G Decoding in the firmware, and in a "
    "virtual machine that its host passes a GPU through; then look again (lspci -d 10de:).",
    "modules-not-loadable": "Boot a kernel that loads modules (a distribution's own), or have the driver "
    "provided by the platform under this system.",
    "inside-chroot": "Name the kernel that the prepared system will boot: --kernel RELEASE.",
    "arch-not-supported": "NVIDIA's driver exists for x86_64 and aarch64 servers: use such a machine.",
    "read-only-system": "Put the driver into the image that this system is made from, or mount it "
    "read-write for the time of the installation (mount -o remount,rw /).",
    "clock-wrong": "Set the clock (timedatectl set-time, or start chrony or systemd-timesyncd), then take "
    "the same command again.",
    "container-host-driver-absent": "Install the driver on the host of this container; the container "
    "toolkit then brings it in.",
    "repository-not-configured": "Choose a driver first (gpu-bringup recommend): its plan adds the source "
    "that it comes from.",
    "driver-other-than-target": "The driver that is here is not the chosen one, and what is to replace it "
    "can't be said from here: run gpu-bringup plan on the server itself.",
    "module-not-loaded": "Load it (modprobe nvidia, then modprobe nvidia-uvm); where that fails, its words "
    "and dmesg name the cause: gpu-bringup explain.",
    "gpu-memory-slow": "Compare with a second run on an idle GPU and its clocks (nvidia-smi -q -d "
    "CLOCK,PERFORMANCE); where it stays slow, have the board checked.",
    "host-link-slow": "Look at the PCIe link (nvidia-smi -q -d PERFORMANCE, lspci -vv): reseat the board, "
    "check riser, slot and the firmware's lane settings.",
    "cuda-init-failed": "Run gpu-bringup check --deep and read the kernel's log (dmesg | grep -i nvrm): "
    "the number of the error alone does not tell the cause.",
    "gpu-not-bound": "Read why the driver left it out (dmesg | grep -i nvrm), then power-cycle the server; "
    "where another driver was wanted for it, leave it as it is.",
    "cuda-sees-fewer": "Look for CUDA_VISIBLE_DEVICES, MIG and a container's own limits: the driver sees "
    "more GPUs than CUDA was given.",
    "fabric-failed": "Read the fabric manager's log (/var/log/fabricmanager.log): a link or a switch "
    "failed. Restart nvidia-fabricmanager once all GPUs answer, else have the baseboard checked.",
    "imex-missing": "Install and start nvidia-imex of the driver's version on every node of the NVLink "
    "domain; its /etc/nvidia-imex/nodes_config.cfg must name them all.",
    "unattended-upgrade-unguarded": "Hold the driver and the kernel as one set (apt-mark hold, dnf "
    "versionlock, zypper addlock), or exempt them from unattended upgrades.",
    "partial-hold": "Hold all packages of driver and kernel, or none: those that are held stay behind when "
    "the others move.",
    "xid-gpu-fault": "Look the number up (gpu-bringup explain with the kernel's lines): it tells whether "
    "the program, the driver or the board is at fault.",
}
"""What a person can do where the plan has no step for the rung, by its first cause.

Other causes have the repair of their family in the catalogue of failures.
"""

TARGET_MENDS = {
    "dkms-build-api-break",
    "dkms-build-gpl-symbol",
    "gpu-not-supported-by-release",
    "proprietary-module-on-open-only-gpu",
    "open-module-on-pre-turing",
    "driver-not-installed",
    "driver-libraries-missing",
}
"""Causes that choosing a target takes care of."""
