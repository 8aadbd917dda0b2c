"""The look of the wizard: one dark theme of our own, and the plain one for poor terminals."""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="bringup-dark",
    primary="#5fa8d3",
    secondary="#88c0a9",
    accent="#7cc4f0",
    warning="#e8b04b",
    error="#f0776c",
    success="#84c96b",
    foreground="#dbe2ea",
    background="#12171d",
    surface="#1a212a",
    panel="#232c37",
    dark=True,
    variables={
        "muted": "#8493a3",
        "block-cursor-background": "#27486a",
        "block-cursor-foreground": "#f2f6fa",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#1e2b38",
        "block-cursor-blurred-foreground": "#dbe2ea",
    },
)
BASIC_VARIABLES = {"muted": "ansi_default"}
"""What a theme that isn't ours lacks."""
BASIC = "ansi-dark"

CSS = """
VerticalScroll { scrollbar-size-vertical: 1; }
.-wide WhyPane, .-wide StepRail, .-wide RunSteps { display: block; }
.-wide Crumbs { display: none; }
.-wide Page { padding-top: 1; }
.-wide LookPage #host { height: 5; }
.-wide ReviewPage.-commands WhyPane { display: none; }
.-wide LookPage #verdict { min-height: 3; padding-top: 1; }
.-wide.-high LookPage #ladder-row { layout: vertical; }
.-wide.-high LookPage #ladder { height: 17; }
.-wide.-high LookPage WhyPane {
    width: 100%; max-width: 100%; height: 1fr; padding: 0; margin-top: 1;
    border-left: none; border-top: solid $panel-lighten-2;
}
Dialog.-narrow > .box { width: 100%; }
Dialog.-short .about { max-height: 9; }
.-few-columns TooSmall, .-few-rows TooSmall { display: block; }
ToastRack { margin-bottom: 1; }

.-basic Dialog > .box { border: ascii $foreground; background: ansi_default; }
.-basic.-wide.-high LookPage WhyPane { border-left: none; border-top: ascii $foreground; }
.-basic WhyPane, .-basic RunSteps { border-left: ascii $foreground; }
.-basic StepRail { border-right: ascii $foreground; }
.-basic RunSteps #run-why-box, .-basic OutcomePage #tail { border-top: ascii $foreground; }
.-basic HostBar, .-basic KeyBar { background: ansi_default; text-style: reverse; }
.-basic Input { background: ansi_default; text-style: underline; }
.-basic Toast { border: none; }
.-basic OptionList > .option-list--option-highlighted {
    color: ansi_default; background: ansi_default; text-style: bold;
}
.-basic OptionList:focus > .option-list--option-highlighted {
    color: ansi_default; background: ansi_default; text-style: bold;
}
"""
