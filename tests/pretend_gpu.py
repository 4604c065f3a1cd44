"""A GPU where there is none: tensors that say they are on cuda, with their data on the CPU.

What a real one refuses is refused: operators between tensors of the two devices, and NumPy. What
makes the program wait for it is noted. Neither its kernels nor its arithmetic are tried.
"""

import time
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import torch
from lightning_fabric import Fabric
from lightning_fabric.accelerators import CPUAccelerator
from lightning_fabric.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.utils._python_dispatch import (
    TorchDispatchMode,
    _disable_current_modes,
    return_and_correct_aliasing,
)
from torch.utils._pytree import tree_leaves, tree_map

from geoset.models.point_unet import PointUNet

CUDA = torch.device("cuda", 0)
MOVING = ("aten::copy_", "aten::_to_copy")
INDEXING = ("aten::index.", "aten::index_put", "aten::_index_put")  # by the CPU's tensors, too
WAITING = (
    *("aten::_local_scalar_dense", "aten::equal", "aten::bincount"),
    *("aten::nonzero", "aten::masked_select", "aten::_unique", "aten::unique"),
)
on_cpu = {name: getattr(torch, name) for name in ("tensor", "as_tensor")}
choose_kernels = PointUNet._choose_kernels


class OnGpu(Tensor):
    """A tensor of the CPU, as if it lay on the GPU."""

    @staticmethod
    def __new__(cls, inner):
        with _disable_current_modes():
            like = torch.empty_strided(
                inner.size(), inner.stride(), dtype=inner.dtype, device="meta"
            )
        # For a cuda tensor autograd would look for streams of a GPU.
        made = Tensor._make_subclass(cls, like, False, device_for_backend_keys=CUDA)
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return dispatch(func, args, kwargs or {})

    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_meta = property(lambda self: False)

    def tolist(self):
        return self.cpu().tolist()

    def new_tensor(self, data):
        return tensor(data, dtype=self.dtype, device=CUDA)

    def numpy(self):
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()")

    def __reduce_ex__(self, protocol):
        return self.inner.__reduce_ex__(protocol)


class Mode(TorchDispatchMode):
    """Puts on the GPU what is made there or moved to it."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return dispatch(func, args, kwargs or {})


waits: list[str] = []


def dispatch(func, args, kwargs):
    """Do on the CPU what a GPU would do, or refuse it."""
    if torch.is_inference_mode_enabled() and func._can_decompose():
        with Mode():
            return func.decompose(*args, **kwargs)
    name = func.name()
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    from_gpu = to_gpu = any(isinstance(x, OnGpu) for x in tensors)
    if kwargs.get("device") is not None:
        to_gpu = torch.device(kwargs["device"]).type != "cpu"
        kwargs = kwargs | {"device": "cpu"}
    if from_gpu and not name.startswith(MOVING):
        refuse_mixed(name, args, tensors)
    if is_waiting(name, args, kwargs, from_gpu, to_gpu):
        waits.append(name)
    found = func(*tree_map(inner, args), **tree_map(inner, kwargs))
    if name.startswith("aten::copy_"):
        return args[0]
    if func._schema.is_mutable and not from_gpu:
        return found
    outer = tree_map(lambda x: OnGpu(x) if isinstance(x, Tensor) and to_gpu else x, found)
    return return_and_correct_aliasing(func, args, kwargs, outer) if from_gpu and to_gpu else outer


def inner(x):
    return x.inner if isinstance(x, OnGpu) else x


def is_waiting(name, args, kwargs, from_gpu, to_gpu):
    """Tell whether the program waits for the GPU, or for a copy to it."""
    if name.startswith(MOVING):
        target = args[0] if name.startswith("aten::copy_") else None
        to_gpu = to_gpu if target is None else isinstance(target, OnGpu)
        source = args[0] if target is None else args[1]
        moved = isinstance(source, OnGpu) != to_gpu
        blocking = not kwargs.get("non_blocking", args[2] if len(args) > 2 else False)
        return moved and (blocking or not to_gpu)
    if not from_gpu:
        return False
    by_mask = name.startswith(INDEXING) and any(
        index is not None and index.dtype == torch.bool for index in args[1]
    )
    return by_mask or name.startswith(WAITING)


def refuse_mixed(name, args, tensors):
    """Raise where PyTorch would: numbers of the CPU may take part, and some may be indices."""
    off = [x for x in tensors if not isinstance(x, OnGpu) and x.dim() > 0]
    if name.startswith(INDEXING) and isinstance(args[0], OnGpu):
        off = [x for x in off if all(x is not index for index in args[1])]
    if name.startswith("aten::new_"):
        off = []
    in_place = name.split(".")[0].endswith("_") and not isinstance(tensors[0], OnGpu)
    if off or in_place:
        found = ", ".join(f"{tuple(x.shape)} {x.dtype} on {x.device}" for x in tensors)
        raise RuntimeError(f"{name}: expected all tensors to be on the same device, got {found}")


def tensor(data, dtype=None, device="cpu", requires_grad=False):
    return on_cpu["tensor"](data, dtype=dtype).to(device).requires_grad_(requires_grad)


def as_tensor(data, dtype=None, device=None):
    if isinstance(data, Tensor):
        return data.to(device=device or data.device, dtype=dtype or data.dtype)
    return on_cpu["as_tensor"](data, dtype=dtype).to(device or "cpu")


class Generator(torch.Generator):
    """One of the CPU that says it is on the GPU."""

    def __new__(cls, device="cpu"):
        made = super().__new__(cls)
        made.device_named = torch.device(device)
        return made

    def __init__(self, device="cpu"):
        pass

    device = property(lambda self: self.device_named)


class Event:
    def __init__(self, enable_timing):
        pass

    def record(self):
        self.time = time.perf_counter()

    def elapsed_time(self, end):
        return 1000 * (end.time - self.time)


class Accelerator(CPUAccelerator):
    def setup_device(self, device):
        assert device == CUDA


def fabric(accelerator, strategy, devices, num_nodes, **options):
    """Return Fabric on the GPU."""
    assert (accelerator, devices, num_nodes) == ("gpu", 1, 1)
    return Fabric(strategy=SingleDeviceStrategy(CUDA, Accelerator()), **options)


@contextmanager
def pretend_gpu():
    """Let there be a GPU; `waits` becomes the operators that waited for it."""
    torch._C._ensureCUDADeviceGuardSet()
    waits.clear()
    replaced = {
        "torch.cuda._lazy_init": lambda: None,
        "torch.cuda.is_available": lambda: True,
        "torch.cuda.get_device_name": lambda device=0: "none",
        "torch.cuda.is_bf16_supported": lambda: True,
        "torch.cuda.synchronize": lambda: None,
        "torch.cuda.reset_peak_memory_stats": lambda: None,
        "torch.cuda.max_memory_allocated": lambda: 1,
        "torch.cuda.set_sync_debug_mode": lambda mode: None,
        "torch.nn.Module.cuda": lambda self: self.to(CUDA),
        "torch.cuda.Event": Event,
        "torch.Generator": Generator,
        "torch.Tensor.pin_memory": lambda self: self,
        # These do not ask for each of the operators that they consist of.
        "torch.tensor": tensor,
        "torch.as_tensor": as_tensor,
        "lightning_fabric.Fabric": fabric,
    }
    with ExitStack() as stack:
        for name, value in replaced.items():
            stack.enter_context(patch(name, value))
        # ocnn's kernels for a GPU are compiled for one.
        no_kernels = patch.object(
            PointUNet, "_choose_kernels", lambda self, on_gpu: choose_kernels(self, False)
        )
        stack.enter_context(no_kernels)
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        swap = torch.__future__.get_swap_module_params_on_conversion()
        torch.__future__.set_swap_module_params_on_conversion(True)
        stack.callback(torch.__future__.set_swap_module_params_on_conversion, swap)
        stack.enter_context(Mode())
        yield
