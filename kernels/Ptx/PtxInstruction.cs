namespace CudaLora.Kernels.Ptx;

/// <summary>A declared virtual register.</summary>
internal sealed record PtxRegister(string Name, PtxType Type, int Index);

internal enum OperandKind
{
    Register, Integer, Float32, Float64, Symbol, Special, Label, Vector, Address, Sink, Pair,
}

/// <summary>
/// One operand. An address has a register or symbol base and an offset, or for tensor copies a map base and
/// coordinates in <see cref="Items"/>. A pair is <c>d|p</c>.
/// </summary>
internal sealed class PtxOperand(OperandKind kind, string text, int line, int column)
{
    public OperandKind Kind { get; } = kind;

    public string Text { get; } = text;

    public int Line { get; } = line;

    public int Column { get; } = column;

    public PtxRegister? Register { get; init; }

    public PtxParameter? Parameter { get; init; }

    public PtxVariable? Variable { get; init; }

    /// <summary>Integer value, float bits, or the offset of an address.</summary>
    public ulong Bits { get; init; }

    /// <summary>Written as <c>!p</c> (or <c>-r</c>, which no supported instruction takes).</summary>
    public bool Negated { get; init; }

    public IReadOnlyList<PtxOperand> Items { get; init; } = [];

    /// <summary>Instruction index of a label, set once the body is complete.</summary>
    public int Target { get; set; } = -1;

    /// <summary>The labels of a .branchtargets list that this names; null for anything else.</summary>
    public IReadOnlyList<PtxOperand>? Targets { get; set; }
}

/// <summary>One instruction as written: opcode, dotted suffixes, operands, guard and position.</summary>
internal sealed class PtxInstruction
{
    public required string Opcode { get; init; }

    public required IReadOnlyList<string> Modifiers { get; init; }

    public required IReadOnlyList<PtxOperand> Operands { get; init; }

    public PtxRegister? Guard { get; init; }

    public bool GuardNegated { get; init; }

    public required string FullName { get; init; }

    public int Line { get; init; }

    public int Column { get; init; }

    /// <summary>Whom a call calls, as written; null for other instructions.</summary>
    public PtxCall? Call { get; init; }

    /// <summary>What a linked call copies before the function runs, or after it.</summary>
    public PtxTransfer? Transfer { get; init; }

    /// <summary>Added by the linker; not an instruction of its own in counters and traces.</summary>
    public bool Synthetic { get; init; }

    public bool Has(string modifier)
    {
        foreach (string m in Modifiers)
        {
            if (m == modifier) return true;
        }
        return false;
    }
}
