using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Blas;

/// <summary>
/// A frozen projection and its adapters as one bf16 matrix [[W0, s B], [A, 0]] of (out + 64, in + 64), so that a LoRA
/// layer is one ordinary matrix product each way:
/// y = [x | S] [W0 | s B]ᵀ with S = x Aᵀ in the 64 spare columns of x's buffer, and
/// dx = [dy | dS] [[W0], [A]] with dS = s dy B in the 64 spare columns of dy's.
/// The 64 spare rows and columns have room for the adapters of several projections that share x: q, k, v, or gate, up.
/// </summary>
/// <param name="Inputs">Columns of W0.</param>
/// <param name="Outputs">Rows of W0, all projections together.</param>
public readonly record struct LoraBlockMatrix(int Inputs, int Outputs)
{
    /// <summary>Spare rows and columns: one step of the tensor-core kernels along k.</summary>
    public const int Pad = 64;

    /// <summary>Elements from row to row of the matrix, and of the buffer that x and S share.</summary>
    public int InputPitch => Inputs + Pad;

    /// <summary>Elements from row to row of the buffer that dy and dS share.</summary>
    public int OutputPitch => Outputs + Pad;

    /// <summary>Elements of the matrix.</summary>
    public long Count => (long)(Outputs + Pad) * InputPitch;

    /// <summary>y (rows, out) from x and S; y's rows are <paramref name="pitch"/> apart.</summary>
    public GemmShape Forward(int rows, int pitch) => new(
        rows, Outputs, Inputs + Pad, false, true, GemmType.BF16, GemmType.BF16, InputPitch, InputPitch, pitch);

    /// <summary>dx (rows, in) from dy and dS; dx's rows are <paramref name="pitch"/> apart.</summary>
    public GemmShape Backward(int rows, int pitch) => new(
        rows, Inputs, Outputs + Pad, false, false, GemmType.BF16, GemmType.BF16, OutputPitch, InputPitch, pitch);

    /// <summary>Queues zeros and W0, (out, in) bf16 dense, into the matrix at <paramref name="matrix"/>.</summary>
    public void Load(CudaStream stream, ulong matrix, ulong weight)
    {
        ArgumentNullException.ThrowIfNull(stream);
        stream.Zero(new DevicePointer<ushort>(matrix), Count);
        LoraPack.Pad(stream, Outputs, new(weight, matrix, Inputs, Inputs, InputPitch));
    }

    /// <summary>
    /// Queues an adapter, A (ranks, in) and B (outputs, ranks) f32, into its place: after every change of the adapter.
    /// </summary>
    /// <param name="stream">Where to queue.</param>
    /// <param name="matrix">Address of the matrix.</param>
    /// <param name="slot">The adapter's place; slots must not overlap.</param>
    /// <param name="a">Address of A.</param>
    /// <param name="b">Address of B.</param>
    /// <param name="scale">s, folded into B.</param>
    /// <exception cref="ArgumentException">The slot does not fit.</exception>
    public void Refresh(CudaStream stream, ulong matrix, LoraSlot slot, ulong a, ulong b, float scale)
    {
        if (slot.FirstRank < 0 || slot.FirstRank + slot.Ranks > Pad || slot.FirstOutput < 0
            || slot.FirstOutput + slot.Outputs > Outputs)
            throw new ArgumentException(
                $"[lora_block_matrix] a slot must lie in {Outputs} outputs and {Pad} ranks, but got {slot}");
        LoraPack.Pack(
            stream,
            new(
                a, b, Element(matrix, Outputs + slot.FirstRank, 0),
                Element(matrix, slot.FirstOutput, Inputs + slot.FirstRank), Inputs, slot.Outputs, slot.Ranks,
                InputPitch, InputPitch, 0, slot.Ranks, scale));
    }

    private ulong Element(ulong matrix, int row, int col) => matrix + 2 * ((ulong)row * (ulong)InputPitch + (ulong)col);
}

/// <summary>Where an adapter stands in a <see cref="LoraBlockMatrix"/>.</summary>
/// <param name="FirstOutput">First row of its projection.</param>
/// <param name="Outputs">Rows of its projection.</param>
/// <param name="FirstRank">First of the 64 spare rows and columns it uses.</param>
/// <param name="Ranks">How many.</param>
public readonly record struct LoraSlot(int FirstOutput, int Outputs, int FirstRank, int Ranks);
