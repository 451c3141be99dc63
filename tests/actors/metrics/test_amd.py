from actors.metrics.amd import AmdGpus


def card(root, name, **files):
    device = root / name / "device"
    for file, text in files.items():
        path = device / file.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return device


def test_amd_cards_are_read_from_the_files_of_their_driver(tmp_path):
    device = card(
        tmp_path,
        "card1",
        vendor="0x1002",
        unique_id="a1b2c3d4e5f60708",
        product_name="Instinct MI300X",
        gpu_busy_percent=87,
        mem_busy_percent=33,
        mem_info_vram_total=205822885888,
        mem_info_vram_used=5822885888,
        hwmon__hwmon3__temp1_label="junction",
        hwmon__hwmon3__temp1_input=71_000,
        hwmon__hwmon3__temp1_crit=100_000,
        hwmon__hwmon3__temp2_label="edge",
        hwmon__hwmon3__temp2_input=64_000,
        hwmon__hwmon3__power1_average=456_000_000,
        hwmon__hwmon3__power1_cap=750_000_000,
        hwmon__hwmon3__pwm1=51,
        hwmon__hwmon3__pwm1_max=255,
    )
    card(tmp_path, "card0", vendor="0x8086")
    card(tmp_path, "card1-DP-1", vendor="0x1002")
    bare = card(tmp_path, "card2", vendor="0x1002", gpu_busy_percent="broken")
    gpus = AmdGpus(tmp_path)
    found = gpus.sample()
    assert found == {
        "GPU-a1b2c3d4e5f60708": {
            "name": "Instinct MI300X",
            "utilization": 0.87,
            "memory_utilization": 0.33,
            "memory_total_bytes": 205822885888,
            "memory_used_bytes": 5822885888,
            "temperature_c": 64.0,
            "slowdown_c": 100.0,
            "power_w": 456.0,
            "power_limit_w": 750.0,
            "fan_share": 0.2,
            "lost": 0,
        },
        f"GPU-{bare.resolve().name}": {"lost": 0},
    }
    (device / "vendor").unlink()
    assert gpus.sample()["GPU-a1b2c3d4e5f60708"] == {"lost": 1}
