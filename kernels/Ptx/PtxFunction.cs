namespace CudaLora.Kernels.Ptx;

/// <summary>Instructions with the registers and variables they name.</summary>
internal sealed class PtxCode
{
    public List<PtxVariable> Variables { get; } = [];

    public List<PtxRegister> Registers { get; } = [];

    public List<PtxInstruction> Body { get; } = [];
}

/// <summary>A formal parameter or return value of a function: a register, or a variable in .param space.</summary>
internal sealed record PtxFormal(string Name, PtxRegister? Register, PtxVariable? Variable)
{
    public PtxType Type => Register?.Type ?? Variable!.Type;

    /// <summary>The formal as an operand of the instructions that copy to and from it.</summary>
    public PtxOperand Operand(PtxInstruction call) => new(
        Register is null ? OperandKind.Symbol : OperandKind.Register, Name, call.Line, call.Column)
    {
        Register = Register,
        Variable = Variable,
    };
}

/// <summary>A device function; its code is null when it is only declared.</summary>
internal sealed record PtxFunction(string Name, List<PtxFormal> Returns, List<PtxFormal> Parameters, PtxCode? Code);

/// <summary>A call as written.</summary>
internal sealed record PtxCall(Token Name, List<PtxOperand> Returns, List<PtxOperand> Arguments);

/// <summary>
/// Copies of a linked call, and the registers and variables of the function that start afresh at each call.
/// </summary>
internal sealed record PtxTransfer(IReadOnlyList<(PtxOperand To, PtxOperand From, PtxType Type)> Copies,
    IReadOnlyList<PtxRegister> FreshRegisters, IReadOnlyList<PtxVariable> FreshVariables);
