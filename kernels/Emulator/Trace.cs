using System.Globalization;
using System.Text;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>
/// Follows one lane of one warp of one block: each instruction it runs, with the values it leaves in the registers it
/// names.
/// </summary>
/// <param name="block">Block in the grid.</param>
/// <param name="warp">Warp in the block.</param>
/// <param name="lane">Lane, 0..31.</param>
/// <param name="sink">Gets one step at a time, in order.</param>
public sealed class Trace(Dim3 block, int warp, int lane, Action<TraceStep> sink)
{
    internal bool Matches(Warp candidate) => candidate.Index == warp && candidate.Block.GridIndex.ToDim3() == block;

    internal unsafe void After(Warp at, Instruction i)
    {
        if ((at.Exec >> lane & 1) == 0) return;
        if (i.Source.Synthetic && i.Writes.Length == 0) return;
        var values = new List<(string Name, string Value)>();
        Seen(at, i.Writes, values);
        Seen(at, i.Reads, values);
        sink(new TraceStep(i.Line, i.Source.FullName, values) { Column = i.Source.Column });
    }

    private unsafe void Seen(Warp at, int[] registers, List<(string Name, string Value)> values)
    {
        EmulatedKernel kernel = at.Cluster.Launch.Kernel;
        foreach (int r in registers)
        {
            PtxRegister register = kernel.Source.Registers[r];
            if (values.Exists(v => v.Name == register.Name)) continue;
            byte* row = at.Regs + kernel.Rows[r];
            values.Add((register.Name, Format(register.Type, row)));
        }
    }

    private unsafe string Format(PtxType type, byte* row)
    {
        CultureInfo plain = CultureInfo.InvariantCulture;
        uint bits = type == PtxType.Pred ? *(uint*)row >> lane & 1 : type.Size() == 8 ? 0 : ((uint*)row)[lane];
        ulong wide = type.Size() == 8 ? ((ulong*)row)[lane] : bits;
        return type switch
        {
            PtxType.Pred => bits == 1 ? "true" : "false",
            PtxType.F32 => BitConverter.UInt32BitsToSingle(bits).ToString("R", plain),
            PtxType.F64 => BitConverter.UInt64BitsToDouble(wide).ToString("R", plain),
            PtxType.S32 => ((int)bits).ToString(plain),
            PtxType.S64 => ((long)wide).ToString(plain),
            PtxType.U32 or PtxType.U64 or PtxType.U16 => wide.ToString(plain),
            PtxType.S16 => ((short)bits).ToString(plain),
            _ => "0x" + wide.ToString("X", plain),
        };
    }
}

/// <summary>One traced instruction.</summary>
/// <param name="Line">Line in the PTX file, from 1.</param>
/// <param name="Instruction">Opcode with suffixes.</param>
/// <param name="Values">Registers it wrote, then those it read, with their values after it.</param>
public sealed record TraceStep(int Line, string Instruction, IReadOnlyList<(string Name, string Value)> Values)
{
    /// <summary>Column of the opcode in that line, from 1.</summary>
    public int Column { get; init; }

    /// <summary>One line for a terminal.</summary>
    public override string ToString()
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"{Line,5}  {Instruction,-32}");
        foreach ((string name, string value) in Values) text.Append(CultureInfo.InvariantCulture, $" {name}={value}");
        return text.ToString();
    }
}
