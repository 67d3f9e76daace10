"""The bar on the overview: how all recipients are divided."""

from __future__ import annotations

from flute.v1.statistics_service_pb2 import OverviewFigures

from web.dashboard.pages.overview import _ended


def test_what_was_taken_back_is_not_under_way():
    figures = OverviewFigures(accepted=5, delivered=3, canceled=1)
    assert [(label, number) for label, number, _ in _ended(figures)] == [
        ("Delivered", 3),
        ("Canceled", 1),
        ("Under way", 1),
    ]
