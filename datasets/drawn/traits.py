"""What makes one face: its traits, drawn from (seed, index) alone."""

import math
from dataclasses import dataclass, field, fields

import numpy as np

from datasets.drawn.colour import Array, blend, grey, hsv, mix, ramp, rgb

_SKIN = ((86, 56, 44), (118, 78, 57), (156, 105, 75), (196, 143, 107), (226, 177, 143),
         (240, 199, 168), (248, 217, 195))  # fmt: skip
_HAIR = ((26, 22, 24), (48, 33, 28), (82, 54, 38), (122, 82, 50), (168, 124, 74), (214, 178, 116))


def _trait(low: float, high: float, bell: bool = False) -> float:
    """Declare a trait spread evenly over [low, high], or more densely towards the middle."""
    value: float = field(metadata={"low": low, "high": high, "bell": bell})
    return value


@dataclass(frozen=True, kw_only=True)
class Face:
    """Everything that makes one face: independent numbers, in the order they are drawn.

    Lengths are in half picture widths. What is present only sometimes is a number in [0, 1] too,
    compared with a threshold where it is drawn.
    """

    # The person
    tone: float = _trait(0, 1)  # skin, very dark to very light
    undertone: float = _trait(-1, 1, bell=True)  # olive to rosy
    flush: float = _trait(0, 1)
    age: float = _trait(0, 1)
    styling: float = _trait(0, 1)  # 0 feminine to 1 masculine styling: beard, make-up, hair length
    freckles: float = _trait(0, 1)
    # The head
    width: float = _trait(0.465, 0.545, bell=True)
    chin: float = _trait(-0.05, 0.05, bell=True)
    jaw: float = _trait(-0.06, 0.07, bell=True)
    cheek: float = _trait(-0.025, 0.045, bell=True)
    ear: float = _trait(0.8, 1.25, bell=True)
    neck: float = _trait(-1, 1, bell=True)
    # Eyes and brows
    eye_size: float = _trait(0.098, 0.130, bell=True)
    eye_apart: float = _trait(0.192, 0.226, bell=True)
    eye_tilt: float = _trait(-0.12, 0.22, bell=True)
    eye_open: float = _trait(0.36, 0.60, bell=True)
    eye_crease: float = _trait(0, 1)
    iris: float = _trait(0, 1)
    gaze_x: float = _trait(-0.02, 0.02, bell=True)
    gaze_y: float = _trait(-0.006, 0.006, bell=True)
    brow_height: float = _trait(0.115, 0.165, bell=True)
    brow_thick: float = _trait(0.012, 0.03)
    brow_tilt: float = _trait(-0.25, 0.14, bell=True)
    brow_arch: float = _trait(0.005, 0.05)
    # Nose and mouth
    nose_width: float = _trait(0.066, 0.112, bell=True)
    nose_length: float = _trait(0.225, 0.30, bell=True)
    mouth_drop: float = _trait(0.135, 0.175, bell=True)
    mouth_width: float = _trait(0.13, 0.20, bell=True)
    lip_full: float = _trait(0.022, 0.055, bell=True)
    smile: float = _trait(-0.01, 0.06)
    teeth: float = _trait(0, 1)
    lip_colour: float = _trait(0, 1)
    # Hair
    hair_colour: float = _trait(0, 1)
    hair_dye: float = _trait(0, 1)
    hair_hue: float = _trait(0, 1)
    hair_length: float = _trait(0, 1)
    hair_volume: float = _trait(0.04, 0.15, bell=True)
    hair_line: float = _trait(-0.53, -0.42, bell=True)
    hair_part: float = _trait(-1, 1)
    hair_curl: float = _trait(0, 1)
    hair_fringe: float = _trait(0, 1)
    hair_bun: float = _trait(0, 1)
    hair_phase: float = _trait(0, 2 * math.pi)
    bald: float = _trait(0, 1)
    beard: float = _trait(0, 1)
    beard_length: float = _trait(0.0, 0.09)
    moustache: float = _trait(0, 1)
    # What is worn
    glasses: float = _trait(0, 1)
    glasses_shape: float = _trait(0, 1)
    glasses_hue: float = _trait(0, 1)
    clothes_hue: float = _trait(0, 1)
    clothes_depth: float = _trait(0.15, 0.9)
    neckline: float = _trait(0, 1)
    tie: float = _trait(0, 1)
    # Pose, light and background
    yaw: float = _trait(-0.52, 0.52, bell=True)  # about radians, to the right of the picture
    pitch: float = _trait(-0.06, 0.06, bell=True)
    roll: float = _trait(-0.11, 0.11, bell=True)
    scale: float = _trait(1.04, 1.18, bell=True)
    shift_x: float = _trait(-0.05, 0.05, bell=True)
    shift_y: float = _trait(-0.04, 0.03, bell=True)
    light_x: float = _trait(-0.9, 0.9)
    light_y: float = _trait(-0.65, -0.15)
    contrast: float = _trait(0.6, 1.1, bell=True)
    warmth: float = _trait(-1, 1, bell=True)
    exposure: float = _trait(0.92, 1.12, bell=True)
    back_hue: float = _trait(0, 1)
    back_turn: float = _trait(-0.2, 0.2)
    back_depth: float = _trait(0.2, 0.9)
    back_colour: float = _trait(0.05, 0.5)
    back_slope: float = _trait(-1, 1)
    # Hair again: new traits stand last, for the older ones to stay what they were
    hair_lift: float = _trait(-1, 1)  # flat on top to standing up
    hair_rough: float = _trait(0, 1)  # combed to tousled
    hair_wave: float = _trait(0, 1)  # how far strands swing from side to side

    @classmethod
    def random(cls, seed: int, index: int) -> "Face":
        """Draw the face of (seed, index), both in [0, 2**64)."""
        key = np.array([seed, index], np.uint64)
        even = np.random.Generator(np.random.Philox(key=key)).random((len(fields(cls)), 2))
        traits = {}
        places = zip(fields(cls), even[:, 0].tolist(), even.mean(axis=1).tolist(), strict=True)
        for trait, flat, bell in places:
            low, high = trait.metadata["low"], trait.metadata["high"]
            place = bell if trait.metadata["bell"] else flat
            traits[trait.name] = low + (high - low) * place
        return cls(**traits)

    @property
    def grey(self) -> float:
        """How far the hair has turned grey, 0 to 1."""
        return ramp(self.age + 0.25 * (self.hair_dye - 0.5), 0.68, 0.9)

    @property
    def curl(self) -> float:
        """How far the hair's outline is curled, 0 to 1."""
        return ramp(self.hair_curl, 0.6, 1.0)

    @property
    def cropped(self) -> float:
        """How closely the hair is cut, 0 to 1: cropped hair lets the skin through."""
        return ramp(self.hair_length, 0.3, 0.15) * (self.styling > 0.55)

    @property
    def parted(self) -> float:
        """How clearly a parting shows in the hair, 0 to 1."""
        combed = ramp(self.hair_rough, 0.7, 0.4) * ramp(self.hair_fringe, 0.7, 0.5)
        return combed * (1 - self.curl) * (1 - self.cropped) * (not self.baldness)

    @property
    def lean(self) -> float:
        """How much further than the face around it the tip of the nose moves as the head turns."""
        return 0.22 * self.yaw

    @property
    def bearded(self) -> float:
        """How dense the beard is: 0 none, 0.35 stubble, 1 full."""
        return ramp(self.beard, 0.4, 0.9) if self.styling > 0.5 else 0.0

    @property
    def long_hair(self) -> float:
        """Where the hair ends beside the face; below 0.35 it stops at the ears."""
        return self.hair_length * 0.75 + 0.62 * (0.55 - self.styling)

    @property
    def covered_ears(self) -> bool:
        """Whether the hair hangs down beside the face."""
        return self.long_hair > 0.35 and not self.baldness

    @property
    def bespectacled(self) -> bool:
        """Whether the face wears glasses, as about two in nine do."""
        return self.glasses > 0.78

    @property
    def baldness(self) -> float:
        """0 with a full head of hair, up to 1 without any."""
        return ramp(self.bald, 0.72, 0.9) * (self.styling > 0.5)

    def skin_colour(self) -> Array:
        """The skin in full light, [3] in [0, 1]."""
        base = blend(_SKIN, self.tone)
        return base * (1 + self.undertone * rgb(0.03, -0.025, 0.015))

    def hair_rgb(self, dyed: bool = True) -> Array:
        """The hair's colour, [3] in [0, 1]; dark skin leans to dark hair, brows are never dyed."""
        base = blend(_HAIR, self.hair_colour * min(1.0, 0.3 + 0.9 * self.tone))
        if 0.80 < self.hair_dye < 0.90 and self.tone > 0.4:
            base = mix(base, hsv(0.04, 0.72, 0.35 + 0.35 * self.hair_colour), 0.8)
        elif self.hair_dye > 0.95 and dyed:
            base = hsv(self.hair_hue, 0.55, 0.65)
        return mix(base, grey(0.5 + 0.4 * self.age**2), 0.9 * self.grey)
