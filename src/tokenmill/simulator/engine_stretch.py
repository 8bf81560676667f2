# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: infer_types=True, annotation_typing=False, initializedcheck=False
"""A stretch of equal steps as one sum: skip, do not step.

While the batch stays the same, every step lasts a little longer than the one before, by the same
amount, and needs a little more energy, by the same amount. So the time and energy of n steps, and
the step that is running at a time, are closed forms.
"""

from __future__ import annotations

__all__ = ["Stretch"]

INF = float("inf")
FOREVER = 1 << 40


class Stretch:
    """Steps that run one after another: the first at step_s, step_j; each further one more."""

    def __init__(self) -> None:
        self.start = 0.0
        self.end = INF
        self.steps = 0
        self.step_s = 0.0
        self.slope_s = 0.0
        self.step_j = 0.0
        self.slope_j = 0.0
        self.joules = 0.0

    def length_s(self, steps: int) -> float:
        """Seconds of the first `steps` steps."""
        return steps * self.step_s + self.slope_s * (0.5 * steps * (steps - 1))

    def energy_j(self, steps: int) -> float:
        """Joules of the first `steps` steps."""
        return steps * self.step_j + self.slope_j * (0.5 * steps * (steps - 1))

    def slow_down(self, factor: float, idle_w: float) -> None:
        """Every step takes `factor` [1] as long; the time that this adds draws idle_w [W]."""
        self.step_j += idle_w * (factor - 1.0) * self.step_s
        self.slope_j += idle_w * (factor - 1.0) * self.slope_s
        self.step_s *= factor
        self.slope_s *= factor

    def throttle(self, limit_w: float, idle_w: float) -> int:
        """Slow the steps down until none draws more than limit_w.

        Slower clocks leave the joules of the work as they are and add idle_w for the added time.
        Returns: for how many steps the same side of the limit holds.
        """
        room_w = limit_w - idle_w
        floor_s = (self.step_j - idle_w * self.step_s) / room_w
        floor_slope_s = (self.slope_j - idle_w * self.slope_s) / room_w
        short_s = floor_s - self.step_s
        short_slope_s = floor_slope_s - self.slope_s
        if short_s > 0.0:
            self.step_j += idle_w * short_s
            self.slope_j += idle_w * short_slope_s
            self.step_s = floor_s
            self.slope_s = floor_slope_s
        if short_slope_s == 0.0 or (short_s > 0.0) == (short_slope_s > 0.0):
            return FOREVER
        crossing = -short_s / short_slope_s
        if crossing >= FOREVER:
            return FOREVER
        steps = int(crossing)
        return steps + 1

    def run(self, steps: int) -> None:
        """Plan that many steps: their end, and their energy."""
        half = 0.5 * steps * (steps - 1)
        self.steps = steps
        self.end = self.start + (steps * self.step_s + self.slope_s * half)
        self.joules = steps * self.step_j + self.slope_j * half

    def cut(self, now: float) -> bool:
        """End with the step that is running at `now`; says whether that shortens the plan."""
        if self.steps <= 1:
            return False
        steps = self.steps
        gap_s = now - self.start
        if self.step_s > 0.0:
            # Newton from above on the sum of steps, then exact by comparison
            half_s = 0.5 * self.slope_s
            guess = min(gap_s / self.step_s, 1.0 * self.steps)
            while True:
                better = (gap_s + half_s * guess * guess) / (
                    self.step_s - half_s + self.slope_s * guess
                )
                if not better < guess - 0.25:
                    break
                guess = better
            steps = int(guess)
            steps = max(1, min(self.steps, steps))
        while steps < self.steps and self.start + self.length_s(steps) < now:
            steps += 1
        while steps > 1 and self.start + self.length_s(steps - 1) >= now:
            steps -= 1
        if steps == self.steps:
            return False
        self.run(steps)
        return True

    def done_by(self, now: float) -> int:
        """Steps of the plan that are over at `now`."""
        low = 0
        high = self.steps
        while low < high:
            middle = (low + high + 1) >> 1
            if self.start + self.length_s(middle) <= now:
                low = middle
            else:
                high = middle - 1
        return low

    def energy_by(self, now: float) -> float:
        """Joules until `now`; a step draws the same power from its start to its end."""
        steps = self.done_by(now)
        joules = self.energy_j(steps)
        if steps < self.steps:
            begun_s = now - self.start - self.length_s(steps)
            step_s = self.step_s + self.slope_s * steps
            if step_s > 0.0 and begun_s > 0.0:
                share = min(1.0, begun_s / step_s)
                joules += share * (self.step_j + self.slope_j * steps)
        return joules
