"""Sites, tariffs and embodied carbon: complete, bounded, and refused in one line when bad."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenmill.catalog.figure import Source
from tokenmill.catalog.load import names
from tokenmill.catalog.prices import price
from tokenmill.catalog.sites import embodied_kg, site
from tokenmill.catalog.tariffs import flat, tariff
from tokenmill.errors import BadRecord, InputError, UnknownName, Unsupported

TWELVE = {"tokyo", "osaka", "ishikari", "phoenix", "lulea", "dublin", "singapore", "frankfurt",
          "ashburn", "dallas", "oslo", "sydney"}  # fmt: skip


def test_the_twelve_cities_are_there() -> None:
    assert set(names("sites")) >= TWELVE


@pytest.mark.parametrize("name", sorted(TWELVE))
def test_a_site_is_whole(name: str) -> None:
    here = site(name)
    assert len(here.temperature_c) == len(here.humidity) == 12
    assert all(0 < month.value <= 1 for month in here.humidity)
    assert 0 < here.carbon_per_kwh.value < 1
    assert here.latitude == 0 or (here.latitude > 0) == (
        here.temperature_c[6].value > here.temperature_c[0].value
    )
    assert price(here.electricity, (here.electricity_kind,)).per == "kWh"
    assert price(here.running, ("space",)).per == "kW-month"


def test_sites_answer_to_accents_and_refuse_strangers() -> None:
    assert site("Luleå").slug == "lulea"
    with pytest.raises(UnknownName, match="tokyo"):
        site("tokio")
    with pytest.raises(InputError):
        site("")


SITE = (
    'name = "X"\ncountry = "JP"\nlatitude = 1.0\nlongitude = 1.0\nelectricity = "jp"\n'
    'electricity_kind = "electricity-industrial"\nrunning = "jp"\n[climate]\n'
    'temperature_c = {t}\ntemperature_spread_c = 1\ntemperature_source = "{s}"\n'
    'humidity_percent = {h}\nhumidity_spread_percent = 3\nhumidity_source = "s"\n'
    'hourly_std_c = {{ value = 4.0, source = "s" }}\n[carbon]\n'
    'mean = {{ value = "{c}", source = "s" }}\ndaily_swing = {{ value = "5 %", source = "s" }}\n'
    '[sources.s]\nkind = "vendor"\ntitle = "t"\n'
)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"t": "[1, 2, 3]"}, "twelve numbers"),
        ({"t": str([1000] * 12)}, "values lie in"),
        ({"h": str([0] * 12)}, "values lie in"),
        ({"h": str(["a"] * 12).replace("'", '"')}, "twelve numbers"),
        ({"s": "nobody"}, "sources"),
        ({"c": "400 W"}, "mass is needed"),
    ],
)
def test_a_bad_site_names_file_and_key(
    changes: dict[str, str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = {"t": str([10] * 12), "h": str([50] * 12), "s": "s", "c": "400 g"}
    (tmp_path / "sites").mkdir()
    (tmp_path / "sites" / "nowhere.toml").write_text(SITE.format(**(usual | changes)))
    monkeypatch.setenv("TOKENMILL_CATALOG", str(tmp_path))
    with pytest.raises(BadRecord, match=says) as problem:
        site("nowhere")
    assert "nowhere.toml" in str(problem.value) and "\n" not in str(problem.value)


def test_a_tariff_prices_every_hour() -> None:
    seasonal = tariff("kepco-seasonal-2018")
    assert seasonal.per_kwh[7][0][14] == 53.23  # August, weekday, 14:00
    assert seasonal.per_kwh[7][1][14] == 30.32  # weekend
    assert seasonal.per_kwh[0][0][2] == seasonal.per_kwh[0][0][23] == 10.51
    for month in tariff("pge-e6-2016").per_kwh:
        assert all(price_ > 0 for day in month for price_ in day)


@pytest.mark.parametrize(
    ("bands", "says"),
    [
        ('[{ name = "a", hours = [0, 12], value = "$1" }]', "no band holds"),
        ('[{ name = "a", hours = [0, 30], value = "$1" }]', "hours lie"),
        ('[{ name = "a", hours = [0, 24], value = "-1" }]', "above zero"),
        ('[{ name = "a", hours = [0, 12], value = "$1" },'
         ' { name = "b", hours = [12, 24], value = "¥1" }]', "one currency"),
        ('[{ hours = [0, 24], value = "$1" }]', "bands"),
    ],
)  # fmt: skip
def test_a_bad_tariff_names_the_band(
    bands: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f'name = "t"\ndate = "2026"\nsource = "s"\nbands = {bands}\n'
    (tmp_path / "tariffs").mkdir()
    (tmp_path / "tariffs" / "mine.toml").write_text(
        text + '[sources.s]\nkind = "vendor"\ntitle = "t"\n', encoding="utf-8"
    )
    monkeypatch.setenv("TOKENMILL_CATALOG", str(tmp_path))
    with pytest.raises(BadRecord, match=says):
        tariff("mine")


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_a_flat_tariff_is_above_zero(bad: float) -> None:
    with pytest.raises(InputError):
        flat("x", bad, "USD", "2026", Source(kind="assumed", title="t"))


def test_embodied_carbon_is_on_record_or_scaled_or_refused() -> None:
    assert embodied_kg("h100-sxm").value == pytest.approx(1312 / 8)
    scaled = embodied_kg("rtx-4090", board_power_w=450.0)
    assert scaled.kind == "assumed" and scaled.low < scaled.value < scaled.high
    with pytest.raises(Unsupported, match="board power"):
        embodied_kg("rtx-4090")
    with pytest.raises(InputError):
        embodied_kg("rtx-4090", board_power_w=float("nan"))
