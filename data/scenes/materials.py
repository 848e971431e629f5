"""What surfaces are made of, as descriptions for Mitsuba.

Every description of a sort has the same keys with values that are never 0, so that Mitsuba compiles one kernel for all
scenes: compiling takes longer than rendering.
"""

import mitsuba as mi
import numpy as np
from prints import plain


def texture(colours):
    """A texture or a colour (3,) as a bitmap that repeats."""
    colours = colours if np.ndim(colours) == 3 else plain(colours, 2)
    bitmap = mi.Bitmap((np.clip(np.asarray(colours, np.float32), 0, 1) * 255).astype(np.uint8))
    return {"type": "bitmap", "bitmap": bitmap, "raw": False, "wrap_mode": "repeat"}


def matte(colours, roughness=0.9, specular=0.3, metallic=0.0, clearcoat=0.0):
    """Opaque: paper, board, paint. metallic near 1 is lacquered metal."""
    surface = {"type": "principled", "base_color": texture(colours), "roughness": float(roughness)}
    surface |= {"specular": float(specular), "metallic": float(metallic) + 1e-4}
    surface |= {"clearcoat": float(clearcoat) + 1e-4, "clearcoat_gloss": 0.9}
    return {"type": "twosided", "bsdf": surface}


def glossy(colours, roughness=0.3, metallic=0.0, clearcoat=0.0):
    """Opaque and smooth: hard plastic, lacquer, foil with a print."""
    return matte(colours, roughness, 0.5, metallic, clearcoat)


def bare_metal(rng, roughness=None, metal=None):
    """Unpainted metal: "Al" or "Cr"; drawn where it is None."""
    roughness = rng.uniform(0.12, 0.32) if roughness is None else roughness
    metal = str(rng.choice(["Al", "Al", "Cr"])) if metal is None else metal
    surface = {"type": "roughconductor", "material": metal, "alpha": float(roughness) ** 1.3, "distribution": "ggx"}
    return {"type": "twosided", "bsdf": surface}


def clear(tint=(1, 1, 1), index=1.5):
    """Solid glass or clear plastic; needs a closed mesh. tint: the share of light that each surface lets through."""
    shares = {"type": "rgb", "value": [float(share) for share in tint]}
    return {"type": "dielectric", "int_ior": float(index), "ext_ior": 1.0, "specular_transmittance": shares}


def film(colours, clearness=0.3, milkiness=0.8, roughness=0.25):
    """A thin sheet that lets light through, straight on (clearness) or scattered (milkiness, up to 2)."""
    surface = {"type": "principledthin", "base_color": texture(colours), "roughness": float(roughness), "eta": 1.45}
    return surface | {"spec_trans": float(clearness), "diff_trans": float(milkiness)}
