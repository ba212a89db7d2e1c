using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>
/// Decodes one instruction: takes suffixes and operands one by one, checks types, and collects what is read and
/// written. A suffix that nobody took is refused by name.
/// </summary>
internal sealed unsafe class InstructionBuilder
{
    private readonly PtxInstruction _source;
    private readonly List<string> _modifiers;
    private readonly List<int> _reads = [];
    private readonly List<int> _writes = [];

    public InstructionBuilder(Decoder decoder, PtxInstruction source, int index)
    {
        Decoder = decoder;
        _source = source;
        _modifiers = [.. source.Modifiers];
        Result = new Instruction
        {
            Source = source,
            Index = index,
            Line = source.Line,
            GuardNegated = source.GuardNegated
        };
        if (source.Guard is null) return;
        Result.Guard = decoder.Row(source.Guard);
        Result.GuardRegister = source.Guard.Index;
    }

    public Decoder Decoder { get; }

    public Instruction Result { get; }

    public string Opcode => _source.Opcode;

    public int OperandCount => _source.Operands.Count;

    public int ParameterBytes => Decoder.ParameterBytes;

    public PtxOperand Operand(int index) => _source.Operands[index];

    public PtxTransfer Transfer => _source.Transfer!;

    public Instruction Build()
    {
        if (!Instructions.Table.TryGetValue(Opcode, out Action<InstructionBuilder>? decode))
            throw Error("unsupported instruction", _source.FullName);
        decode(this);
        if (_modifiers.Count > 0) throw Error($"unsupported suffix '.{_modifiers[0]}'", _source.FullName);
        Result.Reads = [.. _reads.Distinct()];
        Result.Writes = [.. _writes.Distinct()];
        return Result;
    }

    public PtxException Error(string problem, string text) =>
        new(Decoder.Module.Source.FileName, _source.Line, _source.Column, problem, text);

    public PtxException Unsupported(string why) => Error(why, _source.FullName);

    private PtxException Error(PtxOperand at, string problem) =>
        new(Decoder.Module.Source.FileName, at.Line, at.Column, problem, at.Text);

    /// <summary>Takes a suffix when present.</summary>
    public bool Take(string modifier) => _modifiers.Remove(modifier);

    /// <summary>Takes a suffix that must be there.</summary>
    public void Need(string modifier)
    {
        if (!Take(modifier)) throw Unsupported($"expected the suffix '.{modifier}'");
    }

    /// <summary>Takes whichever of the suffixes is present; the first one's index, -1 when none is.</summary>
    public int TakeOneOf(params ReadOnlySpan<string> choices)
    {
        for (int i = 0; i < choices.Length; i++)
        {
            if (Take(choices[i])) return i;
        }
        return -1;
    }

    /// <summary>Takes the first suffix that starts with the prefix; null when there is none.</summary>
    public string? TakePrefix(string prefix)
    {
        string? found = _modifiers.Find(m => m.StartsWith(prefix, StringComparison.Ordinal));
        if (found is not null) _modifiers.Remove(found);
        return found;
    }

    /// <summary>Takes the next type suffix.</summary>
    public PtxType TakeType()
    {
        foreach (string m in _modifiers)
        {
            if (!PtxTypes.TryParse(m, out PtxType type)) continue;
            _modifiers.Remove(m);
            return type;
        }
        throw Unsupported("expected a type suffix");
    }

    /// <summary>The next type suffix, left in place; none when there is none.</summary>
    public PtxType PeekType()
    {
        foreach (string m in _modifiers)
        {
            if (PtxTypes.TryParse(m, out PtxType type)) return type;
        }
        return PtxType.None;
    }

    public void NeedOperands(int low, int high = -1)
    {
        if (OperandCount < low || OperandCount > Math.Max(low, high))
            throw Unsupported($"expected {low}{(high > low ? $" to {high}" : "")} operands, but got {OperandCount}");
    }

    public void NeedTarget(int sm, bool architecture = false)
    {
        if (Decoder.TargetNumber < sm || (architecture && !Decoder.IsSm90a))
            throw Unsupported($"needs .target sm_{sm}{(architecture ? "a" : "")} or higher");
    }

    public void NeedVersion(int version)
    {
        if (Decoder.Module.Source.Version < version)
            throw Unsupported($"needs .version {version / 10}.{version % 10} or higher");
    }

    /// <summary>Row of a destination register; -1 for the sink <c>_</c>.</summary>
    public int Destination(int index, PtxType type, bool allowWider = false) =>
        Destination(Operand(index), type, allowWider);

    public int Destination(PtxOperand operand, PtxType type, bool allowWider = false)
    {
        if (operand.Kind == OperandKind.Sink) return -1;
        if (operand is not { Kind: OperandKind.Register, Negated: false, Register: { } register })
            throw Error(operand, "expected a destination register");
        CheckType(operand, register.Type, type, allowWider);
        _writes.Add(register.Index);
        return Decoder.Row(register);
    }

    /// <summary>Row of a source: register, constant or special register.</summary>
    public int Source(int index, PtxType type, bool allowWider = false) => Source(Operand(index), type, allowWider);

    public int Source(PtxOperand operand, PtxType type, bool allowWider = false)
    {
        int width = type == PtxType.Pred ? 0 : type.Size() == 8 ? 8 : 4;
        switch (operand.Kind)
        {
            case OperandKind.Register:
                PtxRegister register = operand.Register!;
                if (operand.Negated) throw Error(operand, "'!' is not allowed here");
                CheckType(operand, register.Type, type, allowWider);
                _reads.Add(register.Index);
                return Decoder.Row(register);
            case OperandKind.Integer:
                if (type.IsFloat() && type is PtxType.F32 or PtxType.F64)
                    throw Error(operand, $"expected a {type.Name()} literal such as 0f3F800000");
                ulong bits = operand.Bits;
                if (type.Size() is 1 or 2) bits &= (1ul << (type.Size() * 8)) - 1;
                return Decoder.ConstantRow(bits, width);
            case OperandKind.Float32 or OperandKind.Float64:
                if (!type.IsFloat() && type is not (PtxType.B32 or PtxType.B64))
                    throw Error(operand, "expected an integer");
                return Decoder.ConstantRow(Parser.FloatBits(operand, type), width);
            case OperandKind.Special:
                if (!SpecialRegisters.IsKnown(operand.Text)) throw Error(operand, "unknown register");
                if (SpecialRegisters.Width(operand.Text) != width)
                    throw Error(operand, $"expected a {type.Name()} value");
                return Decoder.SpecialRow(operand.Text);
            case OperandKind.Symbol when type.Size() is 4 or 8:
                return SymbolRow(operand, width);
            default:
                throw Error(operand, "expected a register or a constant");
        }
    }

    /// <summary>Offset of a predicate operand, and whether it is written <c>!p</c>.</summary>
    public int Predicate(PtxOperand operand, out bool negated)
    {
        negated = operand.Negated;
        if (operand.Kind == OperandKind.Integer) return Decoder.ConstantRow(operand.Bits, 0);
        if (operand is not { Kind: OperandKind.Register, Register: { Type: PtxType.Pred } register })
            throw Error(operand, "expected a predicate");
        _reads.Add(register.Index);
        return Decoder.Row(register);
    }

    /// <summary>An integer constant in a range.</summary>
    public long Constant(int index, long low, long high)
    {
        PtxOperand operand = Operand(index);
        if (operand.Kind != OperandKind.Integer || (long)operand.Bits < low || (long)operand.Bits > high)
            throw Error(operand, $"expected a constant in {low}..{high}");
        return (long)operand.Bits;
    }

    /// <summary>Rows of a vector operand, or of a single register as a vector of one.</summary>
    public int[] Vector(int index, int count, PtxType type, bool destination, bool allowWider = false)
    {
        PtxOperand operand = Operand(index);
        IReadOnlyList<PtxOperand> items = operand.Kind == OperandKind.Vector ? operand.Items : [operand];
        if (items.Count != count) throw Error(operand, $"expected {count} registers, but got {items.Count}");
        int[] rows = new int[count];
        for (int i = 0; i < count; i++)
            rows[i] = destination ? Destination(items[i], type, allowWider) : Source(items[i], type, allowWider);
        return rows;
    }

    /// <summary>Sets A, Offset and WideAddress of the result from an address operand.</summary>
    public void Address(int index, Space space) =>
        (Result.A, Result.Offset, Result.WideAddress) = AddressRow(index, space);

    /// <summary>Row (-1 when constant), constant part, and whether the row is 64-bit.</summary>
    public (int Row, long Offset, bool Wide) AddressRow(int index, Space space)
    {
        PtxOperand operand = Operand(index);
        if (operand.Kind != OperandKind.Address) throw Error(operand, "expected an address such as [r+4]");
        long offset = (long)operand.Bits;
        if (operand.Register is { } register)
        {
            bool wide = register.Type.Size() == 8;
            if (register.Type.IsFloat() || register.Type.Size() < 4)
                throw Error(operand, "expected a 32 or 64-bit integer address");
            if (!wide && space is Space.Global or Space.Generic or Space.Const)
                throw Error(operand, "expected a 64-bit address");
            _reads.Add(register.Index);
            return (Decoder.Row(register), offset, wide);
        }
        if (operand.Parameter is { } parameter)
        {
            if (space != Space.Param) throw Error(operand, "a parameter is read with ld.param");
            return (-1, parameter.Offset + offset, true);
        }
        if (operand.Variable is not { } variable) return (-1, offset, true);
        if (variable.IsExtern) return (Decoder.SpecialRow(SpecialRegisters.DynamicShared), offset, false);
        return (-1, (long)Decoder.AddressOf(variable, this) + offset, true);
    }

    /// <summary>The smallest shared access of the kernel decides how finely races are watched.</summary>
    public void TouchesShared(int bytes) => Decoder.SharedGranule = Math.Min(Decoder.SharedGranule, bytes);

    private int SymbolRow(PtxOperand operand, int width)
    {
        if (operand.Parameter is { } parameter)
        {
            if (width != 8) throw Error(operand, "the address of a parameter has 64 bits");
            return Decoder.SpecialRow(SpecialRegisters.ParameterPrefix + (parameter.Offset + (long)operand.Bits));
        }
        if (operand.Variable!.IsExtern)
        {
            if (operand.Bits != 0) throw Error(operand, "an offset on dynamic shared memory is not supported here");
            return Decoder.SpecialRow(width == 8 ? SpecialRegisters.DynamicShared64 : SpecialRegisters.DynamicShared);
        }
        if (operand.Variable.Space == PtxSpace.Param)
            throw Error(operand, "the address of a function's parameter is not supported");
        if (width == 4 && operand.Variable.Space is PtxSpace.Global or PtxSpace.Const)
            throw Error(operand, "the address has 64 bits");
        return Decoder.ConstantRow(Decoder.AddressOf(operand.Variable, this) + operand.Bits, width);
    }

    private void CheckType(PtxOperand operand, PtxType register, PtxType wanted, bool allowWider)
    {
        bool sizes = register == PtxType.Pred || wanted == PtxType.Pred
            ? register == wanted
            : register.Size() == wanted.Size() || (allowWider && register.Size() > wanted.Size())
                || (wanted.Size() == 1 && register.Size() == 2);
        bool kinds = allowWider || IsBits(register) || IsBits(wanted) || register.IsFloat() == wanted.IsFloat();
        if (!sizes || !kinds) throw Error(operand, $"expected a {wanted.Name()} register, but got {register.Name()}");
    }

    private static bool IsBits(PtxType type) =>
        type is PtxType.B8 or PtxType.B16 or PtxType.B32 or PtxType.B64 or PtxType.TF32 or PtxType.F16x2
            or PtxType.BF16x2;
}
