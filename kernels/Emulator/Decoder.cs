using System.Runtime.InteropServices;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>Turns an entry's PTX instructions into decoded ones and lays out the register file.</summary>
internal sealed class Decoder
{
    private const int RowBytes = 256;
    private readonly PtxEntry _entry;
    private readonly int[] _rows;
    private readonly int _registerBytes;
    private readonly Dictionary<string, int> _specials = new(StringComparer.Ordinal);
    private readonly Dictionary<(ulong Bits, int Width), int> _constants = [];
    private readonly Dictionary<PtxVariable, int> _places = [];
    private int _fileBytes;

    private Decoder(EmulatedModule module, PtxEntry entry)
    {
        Module = module;
        _entry = entry;
        _rows = new int[entry.Registers.Count];
        int at = 0;
        foreach (PtxRegister r in entry.Registers.Where(r => r.Type == PtxType.Pred))
        {
            _rows[r.Index] = at;
            at += 4;
        }
        at = (at + 63) & ~63;
        foreach (PtxRegister r in entry.Registers.Where(r => r.Type != PtxType.Pred))
        {
            _rows[r.Index] = at;
            at += r.Type.Size() == 8 ? RowBytes : RowBytes / 2;
        }
        _registerBytes = _fileBytes = at;
        PlaceVariables();
    }

    public EmulatedModule Module { get; }

    public int TargetNumber => Module.Source.TargetNumber;

    public int ParameterBytes => _entry.ParameterBytes;

    public bool IsSm90a => Module.Source.Target == "sm_90a";

    public int SharedGranule { get; set; } = 16;

    public bool UsesAsyncReads { get; set; }

    public bool UsesWgmma { get; set; }

    public int StaticSharedBytes { get; private set; }

    public int DynamicAlignment { get; private set; }

    public int LocalBytes { get; private set; }

    public static EmulatedKernel Decode(EmulatedModule module, PtxEntry entry)
    {
        var decoder = new Decoder(module, entry);
        int[] meet = ControlFlow.ImmediatePostDominators(entry.Body);
        var code = new Instruction[entry.Body.Count];
        for (int i = 0; i < code.Length; i++)
        {
            var builder = new InstructionBuilder(decoder, entry.Body[i], i);
            builder.Result.Reconverge = meet[i];
            code[i] = builder.Build();
        }
        return decoder.Finish(code);
    }

    public int Row(PtxRegister register) => _rows[register.Index];

    /// <summary>A row that holds the same bits in every lane; for predicates one mask word.</summary>
    public int ConstantRow(ulong bits, int width)
    {
        if (width == 4) bits &= 0xFFFFFFFF;
        if (!_constants.TryGetValue((bits, width), out int number))
            _constants[(bits, width)] = number = _constants.Count;
        return -2 - number;
    }

    /// <summary>
    /// The row of a special register, or of the address of a variable or parameter (by a name no register has).
    /// </summary>
    public int SpecialRow(string name)
    {
        if (_specials.TryGetValue(name, out int row)) return row;
        row = _fileBytes;
        _fileBytes += RowBytes;
        _specials[name] = row;
        return row;
    }

    /// <summary>
    /// Constant address of a variable: shared and local offsets, or a device address; -1 when it is a parameter.
    /// </summary>
    public ulong AddressOf(PtxVariable variable, InstructionBuilder at)
    {
        switch (variable.Space)
        {
            case PtxSpace.Global or PtxSpace.Const:
                return Module.TryGetVariable(variable.Name, out ulong address, out _) ? address
                    : throw at.Error("unknown variable", variable.Name);
            default:
                return (ulong)_places[variable];
        }
    }

    private void PlaceVariables()
    {
        int shared = (int)Block.SharedBase, local = 0;
        foreach (PtxVariable v in _entry.Module.Variables.Concat(_entry.Variables))
        {
            if (v.Space == PtxSpace.Shared && v.IsExtern)
            {
                DynamicAlignment = Math.Max(DynamicAlignment, v.Alignment);
            }
            else if (v.Space == PtxSpace.Shared)
            {
                shared = (shared + v.Alignment - 1) / v.Alignment * v.Alignment;
                _places[v] = shared;
                shared = checked((int)(shared + v.Size));
            }
            else if (v.Space is PtxSpace.Local or PtxSpace.Param)
            {
                local = (local + v.Alignment - 1) / v.Alignment * v.Alignment;
                _places[v] = local;
                local = checked((int)(local + v.Size));
            }
        }
        StaticSharedBytes = shared - (int)Block.SharedBase;
        LocalBytes = (local + 15) & ~15;
    }

    private EmulatedKernel Finish(Instruction[] code)
    {
        // Constant rows were numbered -2, -3, ... while decoding; now they get places behind the special rows.
        int constantsAt = _fileBytes;
        int[] places = new int[_constants.Count];
        int at = constantsAt;
        foreach (((_, int width), int number) in _constants)
        {
            places[number] = at;
            at += width == 0 ? 64 : RowBytes / 8 * width;
        }
        byte[] constants = new byte[at - constantsAt];
        foreach (((ulong bits, int width), int number) in _constants)
        {
            Span<byte> row = constants.AsSpan(places[number] - constantsAt);
            if (width == 0) BitConverter.TryWriteBytes(row, bits != 0 ? uint.MaxValue : 0u);
            else if (width == 4) MemoryMarshal.Cast<byte, uint>(row)[..32].Fill((uint)bits);
            else MemoryMarshal.Cast<byte, ulong>(row)[..32].Fill(bits);
        }
        foreach (Instruction i in code)
        {
            i.A = Place(i.A);
            i.B = Place(i.B);
            i.C = Place(i.C);
            i.E = Place(i.E);
            foreach (int[] rows in (int[][])[i.Rows, i.Rows2, i.Rows3])
            {
                for (int k = 0; k < rows.Length; k++) rows[k] = Place(rows[k]);
            }
        }
        return new EmulatedKernel(_entry, code)
        {
            FileBytes = at,
            RegisterBytes = _registerBytes,
            Constants = constants,
            ConstantsAt = constantsAt,
            Specials = [.. _specials.Select(s => (s.Key, s.Value))],
            Rows = _rows,
            StaticSharedBytes = StaticSharedBytes,
            DynamicSharedAlignment = DynamicAlignment,
            LocalBytes = LocalBytes,
            RegisterEstimate = Liveness.Estimate(_entry, code),
            SharedGranule = SharedGranule,
            UsesAsyncReads = UsesAsyncReads,
            UsesWgmma = UsesWgmma,
        };

        int Place(int row) => row <= -2 ? places[-2 - row] : row;
    }
}
