"""What a program has to know of the device on which it computes."""

import gc

import torch

from progan.errors import ProganError
from progan.memory import keep_freed_memory

# How PyTorch and the libraries beneath it say that memory is short. cuDNN leaves out all that finds
# no room to work in, and then has nothing left; cuBLAS cannot begin without some; the driver has
# codes; and on a processor, PyTorch says what it tried.
_FULL = (
    "out of memory",
    "you tried to allocate",
    "ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "unable to find an engine",
)


# PyTorch has names for many more kinds, of which some take numbers and give none, and others are
# not even modules unless somebody adds them.
_KINDS = ("cpu", "cuda", "mps", "xpu")


def named(name: str) -> torch.device:
    """Find a device by its name, and see that it can be used.

    Args:
        name: cpu, cuda, mps or xpu, with or without a number, as in cuda:1.

    Raises:
        ProganError: there is no such device here.
    """
    if name.partition(":")[0] not in _KINDS:
        reason = "it is none of cpu, cuda, mps and xpu, nor one with a number, such as cuda:1"
    else:
        try:
            device = torch.device(name)
            torch.zeros(1, device=device).cpu()
            return device
        except (RuntimeError, AssertionError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
    raise ProganError(f"{name!r} cannot be used on this machine ({reason})")


def settle(device: torch.device) -> None:
    """Set PyTorch up for a device, so that the same work gives the same bits there.

    Args:
        device: which; on a machine with several GPUs it becomes the current one.
    """
    if device.type == "cpu":
        keep_freed_memory()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # No kernel is chosen by a race, none adds in random order.
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def refuse_unsupported(precision: str, device: torch.device) -> None:
    """Refuse what a device cannot compute in.

    Args:
        precision: one of `config.PRECISIONS`.
        device: which.

    Raises:
        ProganError: it cannot.
    """
    if precision == "bfloat16" and device.type == "cuda":
        with torch.cuda.device(device):
            able = torch.cuda.is_bf16_supported(including_emulation=False)
        if not able:
            raise ProganError(
                "this GPU cannot convolve in bfloat16: take --precision float16 or float32"
            )


def is_out_of_memory(error: RuntimeError) -> bool:
    """Tell whether something failed for want of memory, which not all libraries say alike."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return any(words in str(error) for words in _FULL)


def wait_for(device: torch.device) -> None:
    """Wait until a device has done all that it was given to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    if device.type == "mps":
        torch.mps.synchronize()


def forget_peak(device: torch.device) -> None:
    """Give back memory that nothing uses, and begin anew to note how much is taken at most."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
