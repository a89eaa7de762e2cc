# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # IST HW2 question 1: a Hopfield network and attention
#
# A Hopfield network stores $N$ patterns, the rows of $X \in \mathbb{R}^{N \times D}$, and is asked
# with a state $q \in \mathbb{R}^D$. Its energy is
#
# $$E(q) = -\mathrm{lse}(\beta, Xq) + \beta^{-1} \log N + \tfrac12 q^\top q + \tfrac12 M^2,
# \qquad \mathrm{lse}(\beta, z) = \beta^{-1} \log \sum_{i=1}^{N} \exp(\beta z_i),$$
#
# with $\beta > 0$ and $M$ the largest norm of a pattern
# ([Ramsauer et al. 2021](#cite-ramsauer2021)). The question is about its shape (1.1),
# about the iteration that goes downhill on it (1.2), and about what that has to do with the
# attention of a transformer (1.3). What is derived here is then checked by the machine, and in the
# end the network has to remember photographs.

# %% tags=["parameters"]
show_solution: bool = True  # show what the machine found out about each derivation
profile: str = "quick"  # the name under which figures are shown
starts: int = 1000  # random states at which the derivations are checked
seeds: list[int] = [0, 1, 2]  # each draws its own photographs and its own noise
stored: int = 100  # photographs in the network while β changes
queries: int = 100  # photographs that are asked for, at most
counts: list[int] = [10, 30, 100, 300, 1000]  # of photographs in the network at β = 1/√D
noise: float = 5.0  # standard deviation; a pixel's own is 1
scores_per_beta: list[float] = [0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1.0, 2.0, 5.0]  # β·√D

# %%
import math

import matplotlib
import pandas as pd
import torch
from IPython.display import Markdown, display
from matplotlib.figure import Figure
from torch.nn import functional as F

from labkit import figures
from labkit.data import load
from labkit.figures import show
from labkit.models.hopfield import Hopfield
from labkit.style import COLOURS, STYLE, WIDTH

# %% [markdown]
# ## 1.1 A convex and a concave part
#
# Write $E = E_1 + E_2$ with
#
# $$E_1(q) = \tfrac12 q^\top q + \beta^{-1} \log N + \tfrac12 M^2, \qquad
# E_2(q) = -\mathrm{lse}(\beta, Xq).$$
#
# Derive the gradients and the Hessians of $E_1$ and of $-E_2$, and show that both Hessians are
# positive semi-definite, so that $E_1$ is convex and $E_2$ concave.
#
# To try a formula, write it down for the patterns and the state below.

# %%
draws = torch.Generator().manual_seed(0)
beta = 0.7
X = torch.randn(8, 5, generator=draws, dtype=torch.float64)  # (N, D)
q = torch.randn(5, generator=draws, dtype=torch.float64)  # (D,)

# %%
answer_convex_gradient = ...  # (D,)
answer_convex_hessian = ...  # (D, D)
answer_minus_concave_gradient = ...  # (D,), of −E₂
answer_minus_concave_hessian = ...  # (D, D), of −E₂

# %% jupyter={"source_hidden": true} tags=["solution"]
f = torch.softmax(beta * X @ q, 0)
answer_convex_gradient = q
answer_convex_hessian = torch.eye(5, dtype=torch.float64)
answer_minus_concave_gradient = X.T @ f
answer_minus_concave_hessian = beta * X.T @ (torch.diag(f) - torch.outer(f, f)) @ X

# %%
network = Hopfield(X, beta)
at = q.clone().requires_grad_()
found = {}
for name, value, gradient_answer, hessian_answer in (
    ("$E_1$", network.convex_part(at), answer_convex_gradient, answer_convex_hessian),
    (
        "$-E_2$",
        -network.concave_part(at),
        answer_minus_concave_gradient,
        answer_minus_concave_hessian,
    ),
):
    (gradient,) = torch.autograd.grad(value, at, create_graph=True)
    rows = [torch.autograd.grad(entry, at, retain_graph=True)[0] for entry in gradient]
    for kind, answer, right in (
        ("gradient", gradient_answer, gradient.detach()),
        ("Hessian", hessian_answer, torch.stack(rows)),
    ):
        if answer is ...:
            verdict = "no answer yet"
        elif answer.shape != right.shape:
            verdict = f"has shape {tuple(answer.shape)}, not {tuple(right.shape)}"
        else:
            difference = (answer - right).abs().max().item()
            verdict = f"{'right' if difference < 1e-9 else 'wrong'}: differs by {difference:.0g}"
        found[f"{kind} of {name}"] = verdict
show(
    pd.DataFrame({"answer": found}),
    "The answers to 1.1 for these numbers, beside automatic differentiation (largest difference of "
    "an entry).",
    label="tab-ist-hopfield-answers",
)

# %% [markdown] tags=["solution"]
# **Gradient of $E_1$.** Only the first term depends on $q$:
#
# $$\nabla E_1(q) = \nabla\, \tfrac12 (q_1^2 + \dots + q_D^2) = q.$$
#
# **Gradient of $-E_2$.** Write $z = \beta X q$, so that $z_i = \beta\, x_i^\top q$ with $x_i^\top$
# the $i$-th row of $X$, and $-E_2 = \beta^{-1} \log \sum_k e^{z_k}$. By the chain rule, with
# $\nabla z_i = \beta x_i$,
#
# $$\nabla(-E_2)
# = \beta^{-1} \frac{\sum_i e^{z_i} \beta x_i}{\sum_k e^{z_k}}
# = \sum_i f_i x_i
# = X^\top f, \qquad
# f = \mathrm{softmax}(\beta X q), \quad f_i = \frac{e^{z_i}}{\sum_{k=1}^{N} e^{z_k}}.$$
#
# The sum in the numerator is $\beta X^\top \exp(\beta X q)$: a $D \times N$ matrix times a vector
# of $N$ entries gives the $D$ entries of a gradient. What comes out is a mean of the patterns, each
# with its weight.
#
# **Hessian of $E_1$.** The derivative of $q$ with respect to $q$ is the identity, and
# $v^\top I v = \lVert v \rVert^2 \ge 0$ for every $v$: it is positive semi-definite (even definite,
# all its eigenvalues are 1).
#
# **Hessian of $-E_2$.** First the softmax. By the quotient rule,
#
# $$\frac{\partial f_i}{\partial z_j}
# = \frac{\delta_{ij}\, e^{z_i} \sum_k e^{z_k} - e^{z_i} e^{z_j}}{\left(\sum_k e^{z_k}\right)^2}
# = \delta_{ij} f_i - f_i f_j,$$
#
# where $\delta_{ij}$ is 1 for $i = j$ and 0 otherwise. In one matrix that is
# $J = \mathrm{diag}(f) - f f^\top$, of $N \times N$ entries. The Jacobian of $z$ with respect to
# $q$ is $\partial z / \partial q = \beta X$. Hence
#
# $$\nabla^2(-E_2) = X^\top \frac{\partial f}{\partial z} \frac{\partial z}{\partial q}
# = \beta\, X^\top \left( \mathrm{diag}(f) - f f^\top \right) X = \beta\, X^\top J X.$$
#
# **It is positive semi-definite.** $J$ is symmetric, and for every $v \in \mathbb{R}^N$
#
# $$v^\top J v = \sum_i f_i v_i^2 - \Big( \sum_i f_i v_i \Big)^2
# = \sum_i f_i (v_i - \bar v)^2 \ge 0, \qquad \bar v = \sum_i f_i v_i .$$
#
# The two forms are equal because the $f_i$ add up to one, and the second cannot be negative because
# no $f_i$ is: it is the variance of the $v_i$ with the probabilities $f_i$. (That is Jensen's
# inequality $\sum_i f_i\, g(v_i) \ge g(\sum_i f_i v_i)$ for the convex function $g(x) = x^2$. It
# needs both: $\sum_i f_i = 1$ and $f_i \ge 0$.) Now for every $u \in \mathbb{R}^D$
#
# $$u^\top \nabla^2(-E_2)\, u = \beta\, (Xu)^\top J\, (Xu) \ge 0 ,$$
#
# which is the line above with $v = Xu$, times $\beta$. Here $\beta > 0$ is needed. So $-E_2$ is
# convex, and $E_2$ concave. In words: the Hessian is $\beta$ times the covariance of the patterns
# when pattern $i$ is drawn with probability $f_i$.

# %% jupyter={"source_hidden": true} tags=["solution"]
states = 2 * torch.randn(starts, 5, generator=draws, dtype=torch.float64)
step = 1e-5
moves = step * torch.eye(5, dtype=torch.float64)[:, None]  # (D, 1, D): along each axis
derivatives = {}
for name, sign, part, gradient, hessian in (
    ("$E_1$", 1, network.convex_part, network.convex_gradient, network.convex_hessian),
    (
        "$-E_2$",
        -1,
        network.concave_part,
        network.minus_concave_gradient,
        network.minus_concave_hessian,
    ),
):
    at = states.clone().requires_grad_()
    (automatic,) = torch.autograd.grad(sign * part(at).sum(), at, create_graph=True)
    # a state's gradient depends on that state alone, so that one sum gives all rows of this number
    second = [torch.autograd.grad(automatic[:, d].sum(), at, retain_graph=True) for d in range(5)]
    second = torch.stack([row for (row,) in second], 1)  # (starts, D, D)
    slopes = sign * (part(states + moves) - part(states - moves)).T / (2 * step)
    bends = (gradient(states + moves) - gradient(states - moves)).transpose(0, 1) / (2 * step)
    derivatives[f"gradient of {name}"] = {
        "automatic": f"{(gradient(states) - automatic).abs().max().item():.0g}",
        "finite differences": f"{(gradient(states) - slopes).abs().max().item():.0g}",
        "smallest eigenvalue": "",
    }
    derivatives[f"Hessian of {name}"] = {
        "automatic": f"{(hessian(states) - second).abs().max().item():.0g}",
        "finite differences": f"{(hessian(states) - bends).abs().max().item():.0g}",
        "smallest eigenvalue": f"{torch.linalg.eigvalsh(hessian(states)).min().item():.2g}",
    }
# the same function with −β in the place of β, differentiated by the machine
at = states.clone().requires_grad_()
value = torch.logsumexp(-beta * at @ X.T, 1).sum() / -beta
(automatic,) = torch.autograd.grad(value, at, create_graph=True)
second = [torch.autograd.grad(automatic[:, d].sum(), at, retain_graph=True) for d in range(5)]
negative = torch.linalg.eigvalsh(torch.stack([row for (row,) in second], 1))
if show_solution:
    show(
        pd.DataFrame(derivatives).T,
        f"The closed forms against automatic differentiation and central finite differences (step "
        f"{step:g}): the largest difference of an entry at {starts:,} random states, and the "
        f"smallest eigenvalue met ($N$ = {len(X)}, $D$ = {X.shape[1]}, $\\beta$ = {beta:g}, "
        "float64, seed 0).",
        label="tab-ist-hopfield-derivatives",
    )
    display(
        Markdown(
            f"With $-\\beta$ = {-beta:g} in place of $\\beta$, the eigenvalues of the Hessian of "
            f"$-E_2$ at the same states go from {negative.min().item():.2g} to "
            f"{negative.max().item():.1g}: it is then negative semi-definite, $E_2$ is convex, "
            "and what follows does not hold. So $\\beta > 0$ is no formality."
        )
    )

# %% [markdown]
# ## 1.2 The concave-convex procedure
#
# Linearise $E_2$ at the state $q_t$, and take for $q_{t+1}$ the minimum of what results:
#
# $$q_{t+1} = \arg\min_q \left( E_1(q) + \tilde E_2(q) \right), \qquad
# \tilde E_2(q) = E_2(q_t) + \nabla E_2(q_t)^\top (q - q_t)$$
#
# ([Yuille and Rangarajan 2003](#cite-yuille2003)). What is $q_{t+1}$?

# %%
answer_update = ...  # (D,): the state after q

# %% jupyter={"source_hidden": true} tags=["solution"]
answer_update = X.T @ torch.softmax(beta * X @ q, 0)

# %%
# the machine's: gradient descent on E₁ plus the tangent of E₂ at q
at = q.clone().requires_grad_()
(slope,) = torch.autograd.grad(network.concave_part(at), at)
lowest = q.clone().requires_grad_()
for _ in range(100):
    surrogate = network.convex_part(lowest) + slope @ (lowest - q)
    (downhill,) = torch.autograd.grad(surrogate, lowest)
    lowest = (lowest - 0.5 * downhill).detach().requires_grad_()
if answer_update is ...:
    verdict = "No answer yet."
elif answer_update.shape != q.shape:
    verdict = f"Your state has shape {tuple(answer_update.shape)}, not {tuple(q.shape)}."
else:
    difference = (answer_update - lowest).abs().max().item()
    verdict = f"It is {'right' if difference < 1e-9 else 'wrong'}: differs by {difference:.0g}."
Markdown(f"Beside the minimum that gradient descent finds: {verdict}")

# %% [markdown] tags=["solution"]
# **Solution.** With the gradient of 1.1 the tangent of $E_2$ at $q_t$ is
#
# $$\tilde E_2(q) =
# -\mathrm{lse}(\beta, X q_t) - \mathrm{softmax}(\beta X q_t)^\top X\, (q - q_t).$$
#
# Both the value and the slope belong to $q_t$; only the last bracket depends on $q$. The sum
# $E_1 + \tilde E_2$ is a parabola with the Hessian $I$, so that it has one minimum, where its
# gradient is zero:
#
# $$0 = \nabla E_1(q) + \nabla E_2(q_t) = q - X^\top \mathrm{softmax}(\beta X q_t)
# \quad\Longrightarrow\quad
# q_{t+1} = X^\top \mathrm{softmax}(\beta X q_t).$$
#
# **Why the energy never rises.** $E_2$ is concave and so lies below its tangent, which it touches
# at $q_t$. Hence
#
# $$\begin{aligned}
# E(q_{t+1}) &\le E_1(q_{t+1}) + \tilde E_2(q_{t+1}) \\
# &= E_1(q_t) + \tilde E_2(q_t) - \tfrac12 \lVert q_{t+1} - q_t \rVert^2 \\
# &= E(q_t) - \tfrac12 \lVert q_{t+1} - q_t \rVert^2 .
# \end{aligned}$$
#
# The first line is the tangent's, the second the parabola's, which at its minimum is lower than at
# $q_t$ by half the square of the way, and in the third the tangent touches. So each step lowers the
# energy by at least that much. It cannot fall without end,
# because it is nowhere negative: from $\mathrm{lse}(\beta, z) \le \max_i z_i + \beta^{-1} \log N$
# follows, with $x$ the pattern of the largest score,
#
# $$E(q) \ge -x^\top q + \tfrac12 q^\top q + \tfrac12 M^2
# \ge \tfrac12 \lVert q - x \rVert^2 \ge 0.$$
#
# Therefore the steps become ever shorter.

# %% jupyter={"source_hidden": true} tags=["solution"]
temperatures = (0.1, 0.7, 3.0, 20.0)
rises, excesses, lowest_energy = [], [], []
for inverse_temperature in temperatures:
    path = Hopfield(X, inverse_temperature).trajectory(states, 50)  # (51, starts, D)
    energy = Hopfield(X, inverse_temperature).energy(path)
    change = energy.diff(dim=0)
    rises.append(change.max().item())
    excesses.append((change + path.diff(dim=0).square().sum(-1) / 2).max().item())
    lowest_energy.append(energy.min().item())
if show_solution:
    display(
        Markdown(
            f"**Checked.** From {starts:,} random starts, 50 steps at each of "
            f"$\\beta$ = {', '.join(f'{b:g}' for b in temperatures)}: the largest change of the "
            f"energy in a step is {max(rises):.0e}, and the largest excess over "
            f"$-\\frac12 \\lVert q_{{t+1}} - q_t \\rVert^2$ is {max(excesses):.0e} (both "
            + ("rounding" if max(*rises, *excesses) < 1e-12 else "MORE than rounding")
            + f" of float64). The lowest energy met is {min(lowest_energy):.2g}."
        )
    )

# %% [markdown]
# Where does it end? The four patterns below lie in a plane, where the energy can be seen.

# %%
plane = torch.tensor([[1.5, 0.4], [-0.4, 1.4], [-1.2, -0.9], [0.9, -1.3]], dtype=torch.float64)
landscapes = {f"$\\beta$ = {b:g}": Hopfield(plane, b) for b in (0.4, 6.0)}
draws = torch.Generator().manual_seed(1)
asked = 4 * torch.rand(14, 2, generator=draws, dtype=torch.float64) - 2
show(
    figures.energy_landscapes(landscapes, asked),
    f"The energy of a network of {len(plane)} patterns, and where the updates of {len(asked)} "
    "random queries (seed 1) lead, for a small and a large $\\beta$. Dark is high.",
    label="fig-ist-hopfield-landscape",
)

# %% jupyter={"source_hidden": true} tags=["solution"]
ends = []
wide = 4 * torch.rand(starts, 2, generator=draws, dtype=torch.float64) - 2
for each in landscapes.values():
    state, steps, converged = each.retrieve(wide, tolerance=1e-9)
    distinct = torch.unique(state[converged].round(decimals=4), dim=0)
    ends.append(
        {
            "β": f"$\\beta$ = {each.beta:g}",
            "count": len(distinct),
            "to the mean": (distinct - plane.mean(0)).norm(dim=1).max().item(),
            "to a pattern": torch.cdist(distinct, plane).min(1).values.max().item(),
            "steps": steps.double().mean().item(),
            "still moving": int((~converged).sum()),
        }
    )
soft, sharp = ends
if show_solution:
    display(
        Markdown(
            f"**Answer.** From {starts:,} random starts the network with {soft['β']} ends in "
            f"{soft['count']} place{'s' if soft['count'] > 1 else ''}, at most "
            f"{soft['to the mean']:.2f} from the mean of all patterns, after {soft['steps']:.0f} "
            f"steps on average. With {sharp['β']} it ends in {sharp['count']} places, each at most "
            f"{sharp['to a pattern']:.0e} from a stored pattern, after {sharp['steps']:.0f} steps. "
            f"({soft['still moving'] + sharp['still moving']} starts were still moving and are not "
            "counted.) "
            "1.1 says why: the Hessian of $E$ is $I$ minus $\\beta$ times a covariance of the "
            "patterns. While $\\beta$ is so small that this stays positive definite everywhere, "
            "$E$ is convex and has one minimum. A large $\\beta$ lets it have a minimum near each "
            "pattern that is far enough from the others."
        )
    )

# %% [markdown]
# ## 1.3 The update is attention
#
# A cross-attention layer with one head computes
#
# $$Z = \mathrm{softmax}\left( \frac{Q K^\top}{\sqrt{d_K}} \right) V, \qquad
# K = X W_K, \quad V = X W_V,$$
#
# with a query in each row of $Q$, and the softmax over each row. Show that with $W_K = W_V = I$ and
# $\beta = 1/\sqrt D$ it computes one update of the network for each query.

# %%
draws = torch.Generator().manual_seed(2)
Q = torch.randn(6, 5, generator=draws, dtype=torch.float64)  # a query in each row
answer_attention = ...  # (6, D): one update of each query, from X and Q

# %% jupyter={"source_hidden": true} tags=["solution"]
answer_attention = Hopfield(X, beta=1 / math.sqrt(X.shape[1])).update(Q)

# %%
attention = F.scaled_dot_product_attention(Q, X, X)
if answer_attention is ...:
    verdict = "No answer yet."
elif answer_attention.shape != attention.shape:
    verdict = f"Your Z has shape {tuple(answer_attention.shape)}, not {tuple(attention.shape)}."
else:
    difference = (answer_attention - attention).abs().max().item()
    verdict = f"It is {'right' if difference < 1e-9 else 'wrong'}: differs by {difference:.0g}."
Markdown(f"Beside `torch.nn.functional.scaled_dot_product_attention`: {verdict}")

# %% [markdown] tags=["solution"]
# **Solution.** With $W_K = W_V = I$ both $K$ and $V$ are $X$, and $d_K = D$:
#
# $$Z = \mathrm{softmax}\left( \frac{Q X^\top}{\sqrt D} \right) X .$$
#
# Row $i$ of $Q$ is $q_i^\top$. The softmax is taken row by row, and row $i$ of $Q X^\top$ is
# $q_i^\top X^\top = (X q_i)^\top$. So row $i$ of $Z$ is
#
# $$z_i^\top = \mathrm{softmax}\left( \frac{X q_i}{\sqrt D} \right)^\top X
# \quad\Longleftrightarrow\quad
# z_i = X^\top \mathrm{softmax}(\beta X q_i) \quad\text{with } \beta = \frac{1}{\sqrt D},$$
#
# which is the update of 1.2 for the query $q_i$. The rows of $Z$ (the columns of $Z^\top$) are one
# step of as many queries, not the steps $t$ of one.
#
# **What $W_K = W_V = I$ means.** The patterns are keys and values at once: what a query is compared
# with is what is returned. The result therefore lies where the queries lie and can be asked again,
# which makes it an iteration, with an energy. With other matrices,
#
# $$\mathrm{softmax}\left( \frac{Q\, (X W_K)^\top}{\sqrt{d_K}} \right) X W_V
# = \left[ \mathrm{softmax}\left( \beta\, (Q W_K^\top)\, X^\top \right) X \right] W_V, \qquad
# \beta = \frac{1}{\sqrt{d_K}},$$
#
# it is still one update, of the queries $Q W_K^\top$, and then a linear map. $W_K$ (with the $W_Q$
# that made $Q$) decides what counts as similar, $W_V$ what is passed on; but the result is no
# longer a query, and asking again has no meaning.

# %% jupyter={"source_hidden": true} tags=["solution"]
sizes = {"queries": (200, 64), "patterns": (50, 64), "keys": (64, 16), "values": (64, 32)}
made = {
    name: torch.randn(*size, generator=draws, dtype=torch.float64) for name, size in sizes.items()
}
plain = Hopfield(made["patterns"], beta=1 / math.sqrt(sizes["patterns"][1]))
plain_difference = plain.update(made["queries"]) - F.scaled_dot_product_attention(
    made["queries"], made["patterns"], made["patterns"]
)
narrow = made["queries"] @ made["keys"] / 8  # (200, 16): Q has d_K columns; 8 is no more than scale
mapped = Hopfield(made["patterns"], beta=1 / math.sqrt(narrow.shape[1]))
mapped_difference = mapped.update(narrow @ made["keys"].T) @ made[
    "values"
] - F.scaled_dot_product_attention(
    narrow, made["patterns"] @ made["keys"], made["patterns"] @ made["values"]
)
if show_solution:
    display(
        Markdown(
            f"**Checked.** For {sizes['queries'][0]} random queries and "
            f"{sizes['patterns'][0]} patterns of {sizes['patterns'][1]} entries (seed 2), the "
            "update and PyTorch's attention differ by at most "
            f"{plain_difference.abs().max().item():.0g}. With random $W_K$ of "
            f"{' × '.join(map(str, sizes['keys']))} entries and $W_V$ of "
            f"{' × '.join(map(str, sizes['values']))}, the update of the queries $Q W_K^\\top$ "
            "followed by $W_V$ differs from attention by at most "
            f"{mapped_difference.abs().max().item():.0g}."
        )
    )

# %% [markdown]
# ## 1.4 Beyond the course: photographs remembered
#
# What a network of photographs gives back, asked with damaged ones, shows what $\beta$ does, and so
# what attention does.
#
# Each photograph is turned grey (the mean of its colours), and its pixels are shifted and scaled
# to mean 0 and variance 1. Without the shift all scores $x_i^\top q$ would be large, because pixels
# are positive, and would say little more than how bright a picture is. The scaling gives all
# pictures one norm, $\sqrt D$, so that none wins by its contrast. It is also what layer
# normalisation does to the entries of a transformer, before the learnt scale. Two damages:
#
# - the lower half of the picture is masked (zero, the picture's mean);
# - Gaussian noise is added to all of it, several times as strong as the picture.
#
# A picture counts as retrieved if the iteration ends within a tenth of its norm from it.
#
# **Prediction.** Where the state is the stored picture $x_i$ itself, another one has at most
# $e^{-\beta \Delta_i}$ times its weight, with the separation
# $\Delta_i = x_i^\top x_i - \max_{j \ne i} x_i^\top x_j$. The other $N - 1$ together weigh little
# if $\beta > \log(N - 1) / \Delta_i$. So a picture should be retrieved from about there on, those
# with a look-alike (a small $\Delta_i$) last, and a network of more pictures should need a larger
# $\beta$. At the other end, $\beta \to \infty$, one step gives the picture of the largest score:
# what that rule gets wrong no large $\beta$ can mend.

# %%
intel = load("intel-48")
side = intel.train.images.shape[-1]
D = side**2
pictures, damaged, marks = {}, {}, {"lower half masked": "o", "Gaussian noise": "s"}
for seed in seeds:
    draws = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(intel.train), generator=draws)[: max(stored, *counts)]
    pixels = intel.train.images[order].float().mean(1).flatten(1)  # (N, D), grey
    pixels = pixels - pixels.mean(1, keepdim=True)
    pixels = pixels / pixels.square().mean(1, keepdim=True).sqrt()
    pictures[seed] = pixels
    asked = pixels[:queries]
    masked = asked.clone()
    masked[:, D // 2 :] = 0  # the rows of a picture follow each other
    random = noise * torch.randn(asked.shape, generator=draws)
    damaged[seed] = dict(zip(marks, (masked, asked + random), strict=True))

# %%
measured = []
for seed in seeds:
    # β changes at one number of photographs, and the number at one β
    settings = {(score, stored) for score in (*scores_per_beta, 1.0)}
    settings |= {(1.0, count) for count in counts}
    for score, count in sorted(settings):
        network = Hopfield(pictures[seed][:count], beta=score / math.sqrt(D))
        right = pictures[seed][: min(count, queries)]
        for damage, states in damaged[seed].items():
            asked = states[: len(right)]
            state, steps, converged = network.retrieve(asked, tolerance=1e-4, max_steps=60)
            once = network.update(asked)
            nearest = (asked @ network.patterns.T).argmax(1)
            measured.append(
                {
                    "seed": seed,
                    "damage": damage,
                    "score": score,
                    "count": count,
                    "retrieved": ((state - right).norm(dim=1) < 0.1 * math.sqrt(D)),
                    "after one": ((once - right).norm(dim=1) < 0.1 * math.sqrt(D)),
                    "nearest": nearest == torch.arange(len(right)),
                    "steps": steps.double(),
                    "moving": ~converged,
                }
            )
shares = ["retrieved", "after one", "nearest", "steps", "moving"]
results = pd.DataFrame(measured)
results[shares] = results[shares].map(torch.Tensor.double).map(torch.mean).map(float)
spread = results.groupby(["damage", "score", "count"])[shares].agg(["mean", "std"]).fillna(0)
# the prediction, β√D = √D log(N − 1)/Δ: of a tenth, half and nine tenths of the stored pictures
thresholds = []
for pixels in pictures.values():
    scores = pixels[:stored] @ pixels[:stored].T
    separation = D - scores.fill_diagonal_(-math.inf).max(1).values
    thresholds.append(math.sqrt(D) * math.log(stored - 1) / separation)
predicted = torch.cat(thresholds).quantile(torch.tensor([0.1, 0.5, 0.9])).tolist()

# %%
tried = [score for score in (0.1, 0.3, 1.0) if score in scores_per_beta]
shown_seed, rows = seeds[0], 4
example = pictures[shown_seed][:stored]
columns = {"stored": example[:rows]}
for damage, short in zip(marks, ("masked", "noisy"), strict=True):
    columns[short] = damaged[shown_seed][damage][:rows]
    for score in tried if short == "masked" else tried[-1:]:
        ended = Hopfield(example, beta=score / math.sqrt(D)).retrieve(columns[short], max_steps=200)
        columns[f"{short}, {score:g}"] = ended.state
cells = torch.stack(list(columns.values()), 1).view(-1, 1, side, side)  # row by row
show(
    figures.pictures(
        0.5 + cells / 5,  # two and a half standard deviations to either side
        [*columns, *[""] * (len(cells) - len(columns))],
        columns=len(columns),
    ),
    f"Photographs stored, damaged, and what a network of {stored} gives back; the numbers are "
    f"$\\beta \\sqrt D$. Noise of {noise:g} standard deviations, seed {shown_seed}.",
    label="fig-ist-hopfield-pictures",
    dataset=intel,
    profile=profile,
)

# %%
with matplotlib.rc_context({**STYLE, "lines.markersize": 3.5}):
    figure = Figure(figsize=(WIDTH, 2.7))
    left, right = figure.subplots(1, 2, sharey=True)
    lines = {}
    for (damage, marker), colour in zip(marks.items(), COLOURS, strict=False):
        rates = spread.loc[damage]
        by_beta = rates.xs(stored, level="count")
        by_count = rates.xs(1.0, level="score").loc[sorted(counts)]
        for panel, table in ((left, by_beta), (right, by_count)):
            lines[damage] = panel.errorbar(
                table.index,
                table["retrieved", "mean"],
                table["retrieved", "std"],
                marker=marker,
                color=colour,
                capsize=2,
            )
            (best,) = panel.plot(table.index, table["nearest", "mean"], ":", color=colour)
        lines[f"{damage}: largest score is right"] = best
    lines["$\\beta = 1/\\sqrt{D}$"] = left.axvline(1, color="black", linewidth=0.8)
    first, half, last = predicted
    lines["prediction for half"] = left.axvline(half, color="black", ls="--", lw=0.8)
    left.axvspan(first, last, color="#999999", alpha=0.2, linewidth=0)
    left.set_xlabel(r"$\beta \sqrt{D}$")
    left.set_ylabel("retrieved")
    left.set_title(f"{stored} photographs", fontsize="medium")
    right.set_xlabel("photographs stored")
    right.set_title(r"$\beta = 1/\sqrt{D}$", fontsize="medium")
    for panel in (left, right):
        panel.set_xscale("log")
        panel.set_ylim(-0.03, 1.03)
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=3)
show(
    figure,
    f"The share of damaged photographs that is retrieved, against $\\beta$ and against the number "
    f"stored: mean and standard deviation over {len(seeds)} draws of photographs and noise (seeds "
    f"{', '.join(map(str, seeds))}), up to {queries} queries each, at most 60 updates. Dotted: "
    "the share whose largest score is that of the right picture. Grey: the prediction from the "
    "first to the last tenth of the pictures.",
    label="fig-ist-hopfield-rates",
    dataset=intel,
    profile=profile,
)

# %% [markdown]
# What does that say about attention? There the states have fewer entries: $d_K = 64$ is usual. So
# the same photographs are averaged down to fewer pixels and normalised again. With $\beta = 1/\sqrt
# D$ a stored picture has the score $\beta\, x^\top x = \sqrt D$ with itself. How many patterns a
# query attends to is $e^H$, with $H$ the entropy of its weights: 1 if one has all the weight, $N$
# if all have the same.

# %%
attended = []
for seed in seeds:
    draws = torch.Generator().manual_seed(1000 + seed)
    for window in (1, 2, 4, 6):
        small = F.avg_pool2d(pictures[seed][:stored].view(-1, 1, side, side), window).flatten(1)
        small = F.layer_norm(small, small.shape[1:], eps=0)
        size = small.shape[1]
        network = Hopfield(small, beta=1 / math.sqrt(size))
        masked = small[:queries].clone()
        masked[:, size // 2 :] = 0
        random = F.layer_norm(torch.randn(masked.shape, generator=draws), (size,), eps=0)
        state = network.retrieve(masked, tolerance=1e-4, max_steps=60).state
        far = (state - small[:queries]).norm(dim=1) / math.sqrt(size)
        entropies = {
            name: torch.special.entr(network.weights(query)).sum(1).exp().mean().item()
            for name, query in (("stored", small[:queries]), ("masked", masked), ("random", random))
        }
        attended.append(
            {
                "entries $D$": size,
                "score with itself": math.sqrt(size),
                "masked: retrieved": (far < 0.1).double().mean().item(),
                **{f"{name}: attends to": number for name, number in entropies.items()},
            }
        )
by_size = pd.DataFrame(attended).groupby(["entries $D$", "score with itself"])
means, deviations = by_size.mean(), by_size.std().fillna(0)
table = means.map("{:.2f}".format) + " ± " + deviations.map("{:.2f}".format)
show(
    table.iloc[::-1].reset_index().set_index("entries $D$"),
    f"At $\\beta = 1/\\sqrt D$, a transformer's: how many of {stored} photographs a query attends "
    "to in its first step, asked with the stored picture, with its upper half, and with Gaussian "
    f"noise alone; mean ± standard deviation over {len(seeds)} draws (seeds "
    f"{', '.join(map(str, seeds))}).",
    label="tab-ist-hopfield-attention",
    dataset=intel,
    profile=profile,
)

# %% jupyter={"source_hidden": true} tags=["solution"]
on_what = "**On stand-in data.** " if intel.stand_in else ""
by_damage = {damage: spread.loc[damage] for damage in marks}
first, half, last = predicted
onset, limit, by_number = [], [], []
for damage, rates in by_damage.items():
    over_beta = rates.xs(stored, level="count")
    enough = over_beta.index[over_beta["retrieved", "mean"] >= 0.5]
    onset.append(f"{enough.min():g} ({damage})" if len(enough) else f"nowhere ({damage})")
    sharpest = over_beta.iloc[-1]
    limit.append(
        f"{sharpest['retrieved', 'mean']:.0%} are retrieved, and for "
        f"{sharpest['nearest', 'mean']:.0%} the right picture has the largest score ({damage})"
    )
    few, many = (rates.loc[1.0, count] for count in (min(counts), max(counts)))
    by_number.append(
        f"from {few['retrieved', 'mean']:.0%} ± {100 * few['retrieved', 'std']:.0f} points to "
        f"{many['retrieved', 'mean']:.0%} ± {100 * many['retrieved', 'std']:.0f} ({damage}; the "
        f"largest score is right for {few['nearest', 'mean']:.0%} and "
        f"{many['nearest', 'mean']:.0%})"
    )
at_one = {damage: rates.loc[1.0, stored] for damage, rates in by_damage.items()}
one_step = ", ".join(
    f"{rates['after one', 'mean']:.0%} of {rates['retrieved', 'mean']:.0%} ({damage})"
    for damage, rates in at_one.items()
)
still_moving = spread["moving", "mean"].max()
large, small = (
    {"D": size, "score": score, **means.loc[size, score].to_dict()}
    for size, score in (means.index[-1], means.index[0])
)
if show_solution:
    display(
        Markdown(
            f"**Answer** (profile {profile}). {on_what}*What β does.* For {stored} photographs the "
            f"prediction is $\\beta \\sqrt D$ = {first:.2f} for the first tenth of them, "
            f"{half:.2f} for half and {last:.2f} for all but a tenth. Measured in the steps of the "
            f"figure, half are first retrieved at {' and '.join(onset)}. At $\\beta \\sqrt D$ = "
            f"{over_beta.index[-1]:g}, {'; '.join(limit)}: where the largest score is wrong, the "
            "network gives back another picture, sharp and wrong. The last tenth needs a larger "
            "$\\beta$ than the first: one $\\beta$ does not suit all. (Still moving "
            f"after 60 updates: at most {still_moving:.1%} of the queries at any setting.)"
        ),
        Markdown(
            f"*How many fit.* At $\\beta = 1/\\sqrt D$, between {min(counts)} and "
            f"{max(counts):,} photographs, the share goes {'; and '.join(by_number)}. Noise adds "
            "to each score something that knows no picture; relative to the right picture's score, "
            f"$D$, its standard deviation is {noise:g}$/\\sqrt D$ = {noise / math.sqrt(D):.2f}. "
            "The mask takes away about half of the right score, and in the half that stays other "
            f"pictures look the same. After a single update {one_step} of these {stored} are back: "
            "that is how far a layer of attention gets, which makes one step."
        ),
        Markdown(
            "*What attention does.* In a transformer $\\beta$ is $1/\\sqrt{d_K}$, whatever is "
            "stored. With entries of variance 1, as after layer normalisation, the scores "
            "$\\beta x_i^\\top q$ of unrelated vectors have variance 1 (that is what [Vaswani "
            "et al. 2017](#cite-vaswani2017) divide by $\\sqrt{d_K}$ for), and a stored vector has "
            "the score $\\sqrt D$ "
            f"with itself. For $D$ = {large['D']:,} that is {large['score']:.0f}: a query that is "
            f"stored attends to {large['stored: attends to']:.2f} pictures of {stored}, and "
            f"{large['masked: retrieved']:.0%} of the masked ones are retrieved. For $D$ = "
            f"{small['D']}, as in a usual head, it is {small['score']:.0f}: a stored query attends "
            f"to {small['stored: attends to']:.1f} pictures, a masked one to "
            f"{small['masked: attends to']:.1f}, and {small['masked: retrieved']:.0%} of the "
            "masked are retrieved. Noise alone attends to "
            f"{large['random: attends to']:.0f} and {small['random: attends to']:.0f}. "
            + (
                "So at this $\\beta$ attention over a few dozen entries takes a mean of what is "
                "similar, and is no look-up of one pattern. "
                if small["stored: attends to"] > 2
                else f"Among only {stored} patterns that is still nearly a look-up of one. "
            )
            + "A trained head is not bound to that: longer $W_Q$ and "
            "$W_K$ make all scores larger, as a larger $\\beta$ would. [Ramsauer et al. "
            "2021](#cite-ramsauer2021) found heads of BERT that average over very many tokens, "
            "most of them in the first layers, and others that settle on a small group."
        ),
    )

# %% [markdown] tags=["solution"]
# ## 1.5 Errata of the report
#
# The derivations of the IST HW2 report reach the right results. On the way these lines are wrong
# (psd: positive semi-definite):
#
# | place | printed | right |
# |:-----------|:--------------------------|:------------------------------|
# | eq. 8 | $\exp(\beta X q) \cdot \beta X^\top$ | $\beta X^\top \exp(\beta X q)$; see the shapes |
# | eq. 9 | $\exp(\beta X q) \cdot \beta X$ | $\beta X^\top \exp(\beta X q)$, over the sum |
# | eq. 13, below eq. 17 | a sum from $i = k$ on | from $k = 1$ on |
# | eq. 21 | $\partial z_i / \partial q_i = \beta X$ | $\partial z / \partial q = \beta X$ |
# | below eq. 26 | Jensen equality, as $\sum_i f_i = 1$ | inequality; needs $f_i \ge 0$ too |
# | above eq. 31 | psd, as $\beta$ is a scalar | psd, as $\beta > 0$ |
# | eq. 31 | $\mathbf{vX}$, $\mathbf{u} = \mathbf{vX}$ | $Xv$, $u = Xv$ |
# | eq. 33, lse | of $\beta X q$ | of $\beta$ and $X q_t$ |
# | eq. 33, softmax | of $\beta X q$ | of $\beta X q_t$ |
# | 1.3 | $q_{t+1}$ is row $t$ of $Z^\top$ | the update of query $i$ is row $i$ of $Z$ |
