"""What one types, command by command: shown by `--help`, and read by tests."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final = {
    "demo": ("arke demo", "arke demo --for 1m --keep demo-files"),
    "up": ("arke up", "arke up --config arke.toml --data /var/lib/arke"),
    "console": ("arke console", "arke console --url https://arke.example:8443 --token SECRET"),
    "check": ("arke check catalog.yaml",),
    "apply": ("arke apply catalog.yaml --dry-run", "arke apply --rollback --to 7"),
    "import aam": ("arke import aam export/ --out catalog.yaml",),
    "onboard": (
        "arke onboard ftp_dpm_12345_1777600000.sync",
        "arke onboard crm.csv --columns crm.columns.yaml",
    ),
    "estimate": ('arke estimate "1001T AND NOT 1002T"',),
    "explain": ("arke explain 12345678901234567890123456789012345678", "arke explain --id 12345:customer-7"),
    "reconcile": ("arke reconcile 10330 423", "arke reconcile 10330 423 --users owed"),
    "batch run": ("arke batch run 423",),
    "batch status": ("arke batch status", "arke batch status --json"),
    "resync": ("arke resync 423", "arke resync 423 --restate"),
    "undelivered list": ("arke undelivered list --destination 423",),
    "undelivered refusals": ("arke undelivered refusals",),
    "undelivered replay": ("arke undelivered replay --destination 423",),
    "privacy access": ("arke privacy access --id 12345:customer-7",),
    "privacy delete": (
        "arke privacy delete --id 12345:customer-7 --wait 60",
        "arke privacy delete --file request.json",
    ),
    "privacy opt-out": ("arke privacy opt-out --uuid 12345678901234567890123456789012345678",),
    "privacy lift": ("arke privacy lift --request 12",),
    "privacy list": ("arke privacy list --unfinished",),
    "privacy show": ("arke privacy show 12 --json",),
    "receiver": ("arke receiver --key env:PARTNER_KEY --out requests.ndjson",),
    "probe": (
        "arke probe https://dsp.example.com/segments/aam --key env:PARTNER_KEY",
        "arke probe 423 --catalog catalog.yaml",
    ),
    "simulate": ("arke simulate script.ndjson --catalog catalog.yaml --out requests.ndjson",),
    "token create": ("arke token create --scope read,ingest --expires 90d --name dashboard",),
    "token list": ("arke token list",),
    "token revoke": ("arke token revoke 3f9a2b",),
    "source status": ("arke source status",),
    "source refused": ("arke source refused --limit 20",),
    "status": ("arke status", "arke status --url https://arke.example:8443 --token SECRET --json"),
    "doctor": ("arke doctor --config arke.toml",),
    "bench": ("arke bench delivery --quick",),
    "backup": ("arke backup /backups/today", "arke backup /backups/today --verify"),
    "restore": ("arke restore /backups/today --data /var/lib/arke",),
    "reshard": ("arke reshard --shards 4 --data /var/lib/arke",),
    "cluster init": ("arke cluster init --config arke.toml",),
    "cluster status": ("arke cluster status --shards",),
    "cluster move": ("arke cluster move --shard 128-255 --to b",),
    "cluster import": ("arke cluster import --data /var/lib/arke",),
}
"""By a command's words."""


def examples_of(words: str) -> str:
    """What stands under a command's help, as it is typed: no line is broken anew."""
    return "\b\nExamples:" + "".join(f"\n  {example}" for example in EXAMPLES[words])
