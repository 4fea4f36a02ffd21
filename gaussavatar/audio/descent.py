"""The steps of pre-training on an accelerator: one function of tensors that stay there, and no word to the host.

A step of so small a network is two hundred kernels of microseconds. Started one by one they wait for Python; drawn,
gathered, differentiated and applied by tensors alone they are recorded once as a CUDA graph and replayed.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float, Float16, Int
from torch import Tensor

from gaussavatar.audio.batches import AudioBatcher
from gaussavatar.audio.encoder import AudioEncoder
from gaussavatar.seeding import seeded

BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Of AdamW (Loshchilov and Hutter 2019), as torch has them."""

WARM_UP = 3
"""Steps before a recording, in which libraries take what memory they need; they are undone."""

TOLD_EVERY = 50
"""Steps from one report of progress to the next; the host waits for the device there."""


@dataclass(frozen=True)
class DeviceBank:
    """A bank's versions and pauses on a device.

    Attributes:
        versions: feature frames of every version; row 0 stands for everything outside the recording.
        pauses: made-up pauses of every version.
        length: feature frames of a window.
    """

    versions: Float16[Tensor, "v t d"]
    pauses: Float[Tensor, "v p l d"]
    length: int

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return self.versions.device


def bank_on(device: torch.device, heard: AudioBatcher) -> DeviceBank:
    """A copy of what a batcher gathers from."""
    versions, pauses = heard.bank
    return DeviceBank(versions.to(device), pauses.to(device), heard.feature.facts.window.length)


@dataclass(frozen=True)
class Schedule:
    """What changes from step to step.

    Attributes:
        steps: in all.
        learning_rate, weight_decay: of AdamW; the rate falls as a cosine.
        average: decay of the moving average of the weights.
        least: share of the rate that it falls to.
    """

    steps: int
    learning_rate: float
    weight_decay: float
    average: float
    least: float

    def table(self) -> Float[Tensor, "steps 4"]:
        """What every step multiplies with, in columns.

        What is left of a weight after its decay; the step's size and the factor on the root of the second moment, both
        with the moments' start from nothing mended; the new weights' share in the average.
        """
        rows = []
        for step in range(self.steps):
            fall = 0.5 * (1.0 + math.cos(math.pi * step / self.steps))
            rate = self.learning_rate * (self.least + (1.0 - self.least) * fall)
            first, second = (1.0 - beta ** (step + 1) for beta in BETAS)
            blend = 1.0 - min(self.average, step / (step + 10.0))
            rows.append((1.0 - rate * self.weight_decay, rate / first, second**-0.5, blend))
        return torch.tensor(rows)


@dataclass(frozen=True)
class Task:
    """What one network learns.

    Attributes:
        windows: rows of the bank in the window of every video frame that may be drawn.
        answers: the standardised answer of each of these frames.
        closed: the standardised answer of silence.
        speaking, silent: windows per step of either kind.
        loss: of the network's answers to ``speaking`` and then ``silent`` windows, given what they should be.
    """

    windows: Int[Tensor, "n w"]
    answers: Float[Tensor, "n d"]
    closed: Float[Tensor, "d"]
    speaking: int
    silent: int
    loss: Callable[[Tensor, Tensor], Tensor]


def descend(
    encoder: AudioEncoder,
    bank: DeviceBank,
    task: Task,
    schedule: Schedule,
    seed: int,
    advance: Callable[[int], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> None:
    """Train an encoder, which stays where it is, where the bank lies; its weights are then the moving average.

    Args:
        encoder: what is trained; its linear member is not.
        bank: what is heard.
        task: what is learnt; its tensors lie with the bank.
        schedule: how.
        seed: of everything random; the global generators are left as they are found.
        advance: called with the number of steps done, every :data:`TOLD_EVERY`.
        say: told where steps cannot be recorded, and are started one by one.
    """
    device = bank.device
    twin = copy.deepcopy(encoder).to(device).train()
    state = _State.of(trained_of(twin), schedule, device)

    def step() -> None:
        _step(twin, bank, task, state)

    with _seeded_on(seed, device), _recorded(step, state, seed, device, say) as run:
        for done in range(0, schedule.steps, TOLD_EVERY):
            count = min(TOLD_EVERY, schedule.steps - done)
            for _ in range(count):
                run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if advance is not None:
                advance(count)
    state.give(trained_of(encoder))


def trained_of(encoder: AudioEncoder) -> list[Tensor]:
    """The weights that are trained by steps."""
    return [weight for name, weight in encoder.named_parameters() if not name.startswith("linear.")]


@dataclass(frozen=True)
class _State:
    """All that a step changes, and its table; weights one after the other in one row."""

    parts: list[Tensor]
    """The network's own weights, which are stretches of ``weights``."""
    weights: Float[Tensor, "k"]
    first: Float[Tensor, "k"]
    second: Float[Tensor, "k"]
    averaged: Float[Tensor, "k"]
    at: Int[Tensor, "1"]
    table: Float[Tensor, "steps 4"]

    @staticmethod
    def of(parts: list[Tensor], schedule: Schedule, device: torch.device) -> _State:
        weights = torch.cat([part.detach().reshape(-1) for part in parts])
        for part, stretch in zip(parts, weights.split([part.numel() for part in parts]), strict=True):
            part.data = stretch.view_as(part)
        first, second = torch.zeros_like(weights), torch.zeros_like(weights)
        at = torch.zeros(1, dtype=torch.long, device=device)
        return _State(parts, weights, first, second, weights.clone(), at, schedule.table().to(device))

    def changing(self) -> tuple[Tensor, ...]:
        return self.weights, self.first, self.second, self.averaged, self.at

    def give(self, others: list[Tensor]) -> None:
        """Copy the averaged weights into the parameters of a twin network."""
        stretches = self.averaged.cpu().split([other.numel() for other in others])
        with torch.no_grad():
            for other, stretch in zip(others, stretches, strict=True):
                other.copy_(stretch.view_as(other))


def _step(encoder: AudioEncoder, bank: DeviceBank, task: Task, state: _State) -> None:
    """One optimiser step. Nothing in it asks a tensor for a number, and every shape is known before."""
    drawn = _chance(len(task.windows), (task.speaking,), bank)
    windows = torch.cat([_spoken(bank, task.windows[drawn]), _silence(bank, task.silent)])
    answers = torch.cat([task.answers[drawn], task.closed.expand(task.silent, -1)])
    loss = task.loss(encoder.each(windows), answers)
    gradient = torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, state.parts)])
    with torch.no_grad():
        decay, size, root, blend = state.table.index_select(0, state.at)[0].unbind()
        state.first.lerp_(gradient, 1.0 - BETAS[0])
        state.second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1.0 - BETAS[1])
        state.weights.mul_(decay).sub_(size * state.first / (state.second.sqrt() * root + EPSILON))
        state.averaged.lerp_(state.weights, blend)
        state.at.add_(1)


def _chance(below: int, shape: tuple[int, ...], bank: DeviceBank) -> Int[Tensor, "..."]:
    return torch.randint(below, shape, device=bank.device)


def _spoken(bank: DeviceBank, rows: Int[Tensor, "b w"]) -> Float[Tensor, "b w d"]:
    version = _chance(len(bank.versions), (len(rows), 1), bank)
    return bank.versions[version, rows].float()


def _silence(bank: DeviceBank, b: int) -> Float[Tensor, "b w d"]:
    versions, pauses, length, _ = bank.pauses.shape
    version, pause = _chance(versions, (b, 1), bank), _chance(pauses, (b, 1), bank)
    start = _chance(length - bank.length + 1, (b, 1), bank)
    return bank.pauses[version, pause, start + torch.arange(bank.length, device=bank.device)]


@contextmanager
def _seeded_on(seed: int, device: torch.device) -> Iterator[None]:
    """Let the device's global generator start at ``seed``, make the device the current one, and leave both as found."""
    if device.type != "cuda":
        with seeded(seed):
            yield
        return
    with torch.cuda.device(device), torch.random.fork_rng([torch.cuda.current_device()], device_type="cuda"):
        torch.cuda.manual_seed(seed)
        yield


@contextmanager
def _recorded(
    step: Callable[[], None],
    state: _State,
    seed: int,
    device: torch.device,
    say: Callable[[str], None] | None,
) -> Iterator[Callable[[], None]]:
    """A step as it is called over and over: on CUDA a recording of it, as long as the block lasts.

    What it changes is as before, whatever was tried. ``device`` is the current one, if it is CUDA's.
    """
    if device.type != "cuda":
        yield step
        return
    before = [tensor.clone() for tensor in state.changing()]
    graph, recorded = torch.cuda.CUDAGraph(), True
    try:
        _record(graph, step)
    except RuntimeError as error:
        recorded = False
        _free_generator()
        if say is not None:
            reason = str(error).partition("\n")[0]
            say(f"steps of the audio network are started one by one, for they cannot be recorded: {reason}")
    for tensor, value in zip(state.changing(), before, strict=True):
        tensor.copy_(value)
    torch.cuda.manual_seed(seed)
    try:
        yield graph.replay if recorded else step
    finally:
        torch.cuda.synchronize()
        if recorded:
            graph.reset()


def _record(graph: torch.cuda.CUDAGraph, step: Callable[[], None]) -> None:
    """Take a few steps, then record one, on a stream of their own.

    Raises:
        RuntimeError: something in it cannot be recorded here.
    """
    here, aside = torch.cuda.current_stream(), _stream_aside(torch.cuda.current_device())
    aside.wait_stream(here)
    # The outer block gives the stream back also where the end of a recording fails.
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP):
            step()
        with torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local"):
            step()
    here.wait_stream(aside)


@cache
def _stream_aside(index: int) -> torch.cuda.Stream:
    """One for all recordings on a device: libraries keep megabytes for every stream that they were used on."""
    return torch.cuda.Stream(index)


def _free_generator() -> None:
    """Let the current device's generator draw again, which a recording that failed leaves waiting for its end."""
    generator = torch.cuda.default_generators[torch.cuda.current_device()]
    generator.graphsafe_set_state(generator.clone_state())
