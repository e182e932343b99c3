"""Answers of miners, cut to the fields that matter: figures of 256foundation/asic-rs' recorded ones (Apache-2.0).

Braiins' are made after its manual: the recorded ones are of another interface.
"""

import json
from typing import Any

Answers = dict[str, dict[str, Any]]


def _said(**records: list[dict[str, Any]]) -> dict[str, Any]:
    return {"STATUS": [{"STATUS": "S", "When": 1760242394, "Code": 11, "Msg": ""}], **records, "id": 1}


STOCK: Answers = {
    "version": _said(VERSION=[{"API": "3.1", "BMMiner": "1.0.0", "Miner": "49.0.1.3", "Type": "Antminer S19 Pro"}]),
    "summary": _said(
        SUMMARY=[
            {
                "Elapsed": 50474,
                "GHS 30m": 111878.26,
                "GHS 5s": 110566.89,
                "GHS av": 111834.85,
                "Difficulty Accepted": 1305083904.0,
                "Difficulty Rejected": 2490368.0,
                "Pool Rejected%": 0.0,
            }
        ]
    ),
    "stats": _said(
        STATS=[
            {"BMMiner": "1.0.0", "Type": "Antminer S19 Pro"},
            {
                "Elapsed": 50474,
                "chain_acn1": 114,
                "chain_acn2": 114,
                "chain_acn3": 114,
                "chain_acn4": 0,
                "chain_rate1": "37603.30",
                "chain_rate2": "35536.22",
                "chain_rate3": "37427.38",
                "chain_rate4": "",
                "fan1": 6000,
                "fan2": 5880,
                "fan3": 5040,
                "fan4": 5040,
                "fan_num": 4,
                "temp1": 73,
                "temp_chip1": "78-50-69-70",
                "temp_max": 0,
                "temp_pcb1": "73-45-64-65",
                "temp_pcb2": "47-50-65-66",
                "temp_pcb4": "0-0-0-0",
            },
        ]
    ),
}
LUXOS: Answers = {
    "version": _said(VERSION=[{"API": "3.7", "LUXminer": "2025.4.8", "Type": "Antminer S19k Pro"}]),
    "summary": _said(
        SUMMARY=[
            {
                "Elapsed": 3453,
                "GHS 15m": 61506.37,
                "GHS 1m": 60829.48,
                "GHS 5s": 59756.06,
                "GHS av": 56917.91,
                "Difficulty Accepted": 42323968,
                "Difficulty Rejected": 32768,
                "Pool Rejected%": 0.0773,
            }
        ]
    ),
    "stats": _said(
        STATS=[
            {"Type": "Antminer S19k Pro"},
            {
                "Elapsed": 3453,
                "chain_acn1": 77,
                "chain_acn2": 77,
                "chain_acn3": 77,
                "chain_acn4": 0,
                "fan1": 1920,
                "fan2": 1920,
                "fan3": 2340,
                "fan4": 2340,
                "fan_num": 4,
                "temp_pcb1": "47-34-34-47",
                "temp_pcb2": "47-33-33-47",
                "temp_pcb4": "0-0-0-0",
            },
        ]
    ),
    "power": _said(POWER=[{"PSU": False, "Watts": 1051}]),
    "config": _said(CONFIG=[{"IsPowerSupplyOn": True, "Profile": "290MHz", "ProfileStep": "-12"}]),
}
BRAIINS: Answers = {
    "version": _said(VERSION=[{"API": "3.7", "BOSminer+": "0.2.0"}]),
    "summary": _said(
        SUMMARY=[
            {
                "Elapsed": 7039,
                "MHS 1m": 247350754.34,
                "MHS 5s": 248186677.2,
                "MHS av": 244601275.72,
                "Pool Rejected%": 0.25,
            }
        ]
    ),
    "temps": _said(TEMPS=[{"Board": 50.375, "Chip": 65.375, "ID": 1}, {"Board": 49.0, "Chip": 64.0, "ID": 2}]),
    "fans": _said(
        FANS=[{"FAN": k, "ID": k, "RPM": rpm, "Speed": 92} for k, rpm in enumerate((5943, 5943, 5943, 5973))]
    ),
    "tunerstatus": _said(TUNERSTATUS=[{"ApproximateMinerPowerConsumption": 3480, "PowerLimit": 3500}]),
}
WHATSMINER: Answers = {
    "summary": _said(
        SUMMARY=[
            {
                "MHS 1m": 67439352.49,
                "MHS 5s": 70668114.52,
                "HS RT": 67394800.97,
                "MHS av": 67753251.19,
                "Power": 3417,
                "Power_RT": 3427,
                "Power Mode": "Normal",
                "Elapsed": 10154,
                "Difficulty Accepted": 158334976.0,
                "Difficulty Rejected": 0.0,
                "Temperature": 71.5,
                "Fan Speed In": 6450,
                "Fan Speed Out": 6480,
            }
        ]
    ),
    "devs": _said(
        DEVS=[{"ASC": k, "MHS 1m": 22103789.84, "Temperature": temp} for k, temp in enumerate((70.0, 69.5, 71.5))]
    ),
}
WHATSMINER_2: Answers = {
    "summary": _said(
        SUMMARY=[
            {
                "HS RT": 124500000.0,
                "MHS av": 125000000.0,
                "Power": 3200,
                "Power Mode": "Low",
                "Elapsed": 25000,
                "Pool Rejected%": 0.0,
                "Fan Speed In": 5400,
                "Fan Speed Out": 5280,
            }
        ]
    ),
    "devs": _said(
        DEVS=[
            {"ASC": k, "MHS av": rate, "Temperature": temp}
            for k, (rate, temp) in enumerate(((41500000.0, 65.0), (41500000.0, 66.0), (0.0, 67.0)))
        ]
    ),
}
SEALMINER: Answers = {
    "version": _said(VERSION=[{"API": "3.7", "BDMiner": "4.11.1"}]),
    "summary": _said(
        SUMMARY=[
            {
                "Elapsed": 2481,
                "MHS 1m": 197599714.1,
                "MHS 5s": 368479432.78,
                "MHS av": 206860473.51,
                "Difficulty Accepted": 118444032.0,
                "Difficulty Rejected": 655360.0,
            }
        ]
    ),
    "stats": _said(
        STATS=[
            {
                "Elapsed": 2481,
                "0 MHS(Sample)": 73905832.0,
                "1 MHS(Sample)": 73626639.19,
                "2 MHS(Sample)": 72846394.9,
                "0 Speed": 3723,
                "1 Speed": 3723,
                "2 Speed": 3753,
                "3 Speed": 3723,
                "0 Temp 0": 55,
                "0 Temp 2": 70,
                "1 Temp 2": 70,
                "2 Temp 3": 65,
                "PSU Input Power": 3504,
                "Mining Mode": "Normal",
            }
        ]
    ),
}


def wire(answers: Answers, command: str) -> bytes:
    """What a miner sends for a command: JSON that ends with NUL; an error for a command that it does not know."""
    error = {"STATUS": [{"STATUS": "E", "Code": 14, "Msg": "invalid cmd"}]}
    return json.dumps(answers.get(command, error)).encode() + b"\0"
