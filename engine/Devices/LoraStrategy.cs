namespace CudaLora.Engine;

/// <summary>
/// How a LoRA layer's large products run on a CUDA device in BF16. All give the same values but for rounding; in F32
/// there is <see cref="Composed"/> alone. A 4-bit base is decoded first, straight into the place it is read from, but
/// for <see cref="FusedNf4"/>.
/// </summary>
public enum LoraStrategy
{
    /// <summary>
    /// The fastest for each shape, found by timing and kept in a file; <see cref="Composed"/> on a device whose clock
    /// says nothing about the work, as the emulator's.
    /// </summary>
    Auto,

    /// <summary>
    /// Two products of the device's library: y = S (s B)ᵀ, then y += x W0ᵀ; dX = dS A, then dX += dY W0. In F32 y the
    /// other way round.
    /// </summary>
    Composed,

    /// <summary>
    /// One product of the device's library, y = [x | S] [W0 | s B]ᵀ and dX = [dY | dS] [W0; A]. W0 lies inside its
    /// matrix once a LoRA layer has made room there; x or dY is copied where that moves fewer bytes than another pass
    /// over the result, which is the other way, <see cref="Composed"/>.
    /// </summary>
    BlockMatrix,

    /// <summary>
    /// One product of the project's own kernels, which sum x W0ᵀ and S (s B)ᵀ, or dY W0 and dS A, in the same
    /// registers: wgmma on sm_90a, mma.sync elsewhere. What they cannot read, and dX under dropout, is composed.
    /// </summary>
    Fused,

    /// <summary>
    /// As <see cref="Fused"/> by mma.sync alone, whose smaller tiles fill a large device with smaller products.
    /// </summary>
    FusedMma,

    /// <summary>
    /// With a 4-bit base and at most 256 tokens: as <see cref="FusedMma"/>, but W0 is decoded in registers and never
    /// written. With another base, more tokens, and for dX under dropout it is composed. Layers without an adapter run
    /// so too when it is the fastest.
    /// </summary>
    FusedNf4,
}
