from __future__ import annotations

import pytest
import torch
from toy import toy_detector
from transfer.one_step import batch_of, module_of, take_step, tiny_detector

from transfer_kit.transfer.pull import Pull, parameters_of_base


def test_the_gradient_of_the_pull_is_that_of_its_formula():
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(shape, generator=generator).double() for shape in ((4, 3, 3, 3), (5,))]
    weights = [torch.nn.Parameter(value.clone()) for value in start]
    pull = Pull(weights, alpha=0.3)
    with torch.no_grad():
        for weight in weights:
            weight.add_(torch.randn(weight.shape, generator=generator))
    value = pull()
    value.backward()
    flat = torch.cat([w.detach().flatten() for w in weights]).requires_grad_()
    base = torch.cat([value.flatten() for value in start])
    formula = 0.5 * 0.3 * torch.linalg.vector_norm(flat - base) ** 2
    (expected,) = torch.autograd.grad(formula, flat)
    assert value.item() == pytest.approx(formula.item())
    found = torch.cat([w.grad.flatten() for w in weights])
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(lambda w: 0.15 * (w - base).square().sum(), flat)


def test_at_the_base_there_is_no_pull_and_what_is_frozen_adds_none():
    weights = [torch.nn.Parameter(torch.ones(3)) for _ in range(2)]
    pull = Pull(weights, alpha=2.0)
    assert pull().item() == 0
    with torch.no_grad():
        for weight in weights:
            weight.add_(1)
    weights[0].requires_grad_(False)
    assert pull().item() == pytest.approx(3.0)
    weights[1].requires_grad_(False)
    assert pull().item() == 0


def test_the_pull_is_added_to_the_loss_and_takes_the_place_of_weight_decay():
    detector = tiny_detector("micronet")
    base = list(detector.network.parameters())
    module = module_of(detector, from_base=base, l2_sp=1000.0)
    plain = module_of(detector)
    decays = {group["weight_decay"] for group in _optimizer(module).param_groups}
    assert decays == {0.0}
    with torch.no_grad():
        for parameter in base:
            parameter.add_(0.001)
    batch = batch_of(detector)
    losses = []
    for each in (module, plain):
        each.eval()
        losses.append(each.training_step(batch, 0).item())
    numbers = sum(p.numel() for p in base)
    assert losses[0] - losses[1] == pytest.approx(500 * 1e-6 * numbers, rel=1e-3)


def test_only_weights_that_are_there_are_pulled_and_the_others_decay():
    network = tiny_detector("timm_unet").network
    names = {id(p): name for name, p in network.named_parameters()}
    filled = {names[id(p)] for p in parameters_of_base(network, has_base=False)}
    assert filled == {name for name in names.values() if name.startswith("encoder.")}
    assert len(parameters_of_base(network, has_base=True)) == len(names)
    detector = tiny_detector("timm_unet")
    from_base = parameters_of_base(detector.network, has_base=False)
    module = module_of(detector, from_base=from_base, l2_sp=0.5)
    decayed = [p for group in _optimizer(module).param_groups if group["weight_decay"]
               for p in group["params"]]  # fmt: skip
    pulled = {id(p) for p in from_base}
    assert decayed
    assert not any(id(p) in pulled for p in decayed)


def test_a_strong_pull_keeps_the_weights_near_the_base():
    def distance(alpha):
        detector = toy_detector(seed=0, network={"name": "micronet", "options": {"width": 2}})
        before = [p.detach().clone() for p in detector.network.parameters()]
        fields = {
            "optimizer": {"name": "sgd", "learning_rate": 1e-3, "momentum": 0.0},
            "schedule": {"name": "constant"},
        }
        module = module_of(
            detector, from_base=list(detector.network.parameters()), l2_sp=alpha, **fields
        )
        for parameter in detector.network.parameters():
            parameter.data.add_(0.01)
        for _ in range(3):
            take_step(module, batch_of(detector))
        after = detector.network.parameters()
        return sum((a - b).square().sum().item() for a, b in zip(after, before, strict=True))

    assert distance(300.0) < 0.5 * distance(0.0)


def _optimizer(module):
    configured = module.configure_optimizers()
    return configured["optimizer"] if isinstance(configured, dict) else configured
