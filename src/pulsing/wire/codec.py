"""The codec of one actor system: both directions with one set of limits."""

from __future__ import annotations

from pulsing.wire.decoder import Decoder
from pulsing.wire.encoder import Encoder
from pulsing.wire.limits import WireLimits


class Codec(Encoder, Decoder):
    """Turns values into bodies and bodies into values. Not for use by several threads at once.

    Args:
        limits: bounds of one message.
        allow_pickle: send and accept pickles: whoever may connect can run code here.
        context: handed to the ``unpack`` of references, see ``register_reference``.
    """

    def __init__(
        self,
        *,
        limits: WireLimits | None = None,
        allow_pickle: bool = False,
        context: object = None,
    ) -> None:
        self.limits = WireLimits() if limits is None else limits
        Encoder.__init__(self, self.limits, allow_pickle=allow_pickle)
        Decoder.__init__(self, self.limits, allow_pickle=allow_pickle, context=context)
