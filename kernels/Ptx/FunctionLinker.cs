namespace CudaLora.Kernels.Ptx;

/// <summary>
/// Puts the functions that an entry calls in place of the calls, so that divergence inside them meets again at their
/// end like any other. A function's registers and variables exist once per entry, since no call is recursive; its
/// instructions once per call.
/// </summary>
internal sealed class FunctionLinker(PtxModule module, PtxEntry entry)
{
    /// <summary>Opcode of what copies a function's results back; no PTX text can spell it.</summary>
    public const string CallEnd = "call end";

    private const int MostInstructions = 1 << 20;
    private readonly Dictionary<PtxFunction, PtxRegister[]> _registers = [];
    private readonly Dictionary<PtxFunction, int> _sizes = [];
    private readonly HashSet<PtxFunction> _open = [];
    private readonly PtxCode _linked = new();

    public void Link()
    {
        if (!entry.Body.Exists(i => i.Call is not null)) return;
        _linked.Variables.AddRange(entry.Variables);
        _linked.Registers.AddRange(entry.Registers);
        SizeOf(entry.Code);
        Emit(entry.Code, [.. entry.Registers], function: null);
        entry.Code = _linked;
    }

    private PtxException Error(string problem, Token at) => new(module.FileName, at.Line, at.Column, problem, at.Text);

    private PtxFunction Callee(PtxCall call)
    {
        PtxFunction function = module.FunctionList.Find(f => f.Name == call.Name.Text)
            ?? throw Error("unknown function", call.Name);
        if (function.Code is null) throw Error("the function has no body in this file", call.Name);
        if (function.Returns.Count != call.Returns.Count || function.Parameters.Count != call.Arguments.Count)
            throw Error(
                $"the function takes {function.Parameters.Count} arguments and gives {function.Returns.Count} values, but got {call.Arguments.Count} and {call.Returns.Count}",
                call.Name);
        return function;
    }

    private int SizeOf(PtxCode code)
    {
        int size = 0;
        foreach (PtxInstruction i in code.Body)
        {
            size += i.Call is null ? 1 : SizeOf(i.Call) + (i.Guard is null ? 2 : 3);
            if (size > MostInstructions)
                throw Error($"with its calls an entry may have {MostInstructions} instructions",
                    new Token(TokenKind.Word, entry.Name, 0, i.Line, i.Column, false));
        }
        return size;
    }

    private int SizeOf(PtxCall call)
    {
        PtxFunction function = Callee(call);
        if (_sizes.TryGetValue(function, out int known)) return known;
        if (!_open.Add(function)) throw Error("recursive calls are not supported", call.Name);
        int size = SizeOf(function.Code!);
        _open.Remove(function);
        return _sizes[function] = size;
    }

    private PtxRegister[] RegistersOf(PtxFunction function)
    {
        if (_registers.TryGetValue(function, out PtxRegister[]? known)) return known;
        var own = new PtxRegister[function.Code!.Registers.Count];
        foreach (PtxRegister r in function.Code.Registers)
        {
            own[r.Index] = new PtxRegister($"{function.Name}:{r.Name}", r.Type, _linked.Registers.Count);
            _linked.Registers.Add(own[r.Index]);
        }
        _linked.Variables.AddRange(function.Code.Variables);
        return _registers[function] = own;
    }

    private void Emit(PtxCode code, PtxRegister[] registers, PtxFunction? function)
    {
        int[] places = new int[code.Body.Count + 1];
        int at = _linked.Body.Count;
        for (int k = 0; k < code.Body.Count; k++)
        {
            places[k] = at;
            PtxInstruction i = code.Body[k];
            at += i.Call is null ? 1 : SizeOf(i.Call) + (i.Guard is null ? 2 : 3);
        }
        places[^1] = at;
        foreach (PtxInstruction i in code.Body)
        {
            if (i.Call is not null) EmitCall(i, registers, places);
            else if (function is not null && i.Opcode == "ret")
                _linked.Body.Add(Copy(i, "bra", i.FullName, [Label(i, places[^1])], registers));
            else
                _linked.Body.Add(Copy(i, i.Opcode, i.FullName,
                    [.. i.Operands.Select(o => Map(o, registers, places))], registers));
        }
    }

    private void EmitCall(PtxInstruction i, PtxRegister[] registers, int[] places)
    {
        PtxFunction function = Callee(i.Call!);
        PtxRegister[] inside = RegistersOf(function);
        int end = _linked.Body.Count + SizeOf(i.Call!) + (i.Guard is null ? 1 : 2);
        if (i.Guard is not null)
        {
            PtxInstruction skip = Copy(i, "bra", i.FullName, [Label(i, end + 1)], registers, synthetic: true,
                negate: true);
            _linked.Body.Add(skip);
        }
        var copies = new List<(PtxOperand To, PtxOperand From, PtxType Type)>();
        for (int k = 0; k < function.Parameters.Count; k++)
            AddCopy(copies, function.Parameters[k], Map(function.Parameters[k].Operand(i), inside, []),
                Map(i.Call!.Arguments[k], registers, places), toFormal: true);
        PtxRegister[] fresh = [.. inside.Where(r => !copies.Exists(c => c.To.Register == r))];
        PtxVariable[] variables = [.. function.Code!.Variables.Where(v => v.Space is PtxSpace.Local or PtxSpace.Param
            && !copies.Exists(c => c.To.Variable == v))];
        _linked.Body.Add(Copy(i, "call", i.FullName, [], registers, guarded: false,
            transfer: new PtxTransfer(copies, fresh, variables)));
        Emit(function.Code, inside, function);
        copies = [];
        for (int k = 0; k < function.Returns.Count; k++)
            AddCopy(copies, function.Returns[k], Map(i.Call!.Returns[k], registers, places),
                Map(function.Returns[k].Operand(i), inside, []), toFormal: false);
        _linked.Body.Add(Copy(i, CallEnd, "return of " + function.Name, [], registers, synthetic: true,
            guarded: false, transfer: new PtxTransfer(copies, [], [])));
    }

    private void AddCopy(List<(PtxOperand To, PtxOperand From, PtxType Type)> copies, PtxFormal formal, PtxOperand to,
        PtxOperand from, bool toFormal)
    {
        PtxOperand actual = toFormal ? from : to;
        bool variable = actual.Variable is { Space: PtxSpace.Param };
        bool fits = variable ? formal.Variable is { } v && v.Size == actual.Variable!.Size
            : actual.Kind == OperandKind.Register || (toFormal && actual.Kind is OperandKind.Integer
                or OperandKind.Float32 or OperandKind.Float64);
        if (!fits || (!variable && formal.Variable is { Elements: > 1 }))
            throw new PtxException(module.FileName, actual.Line, actual.Column,
                $"does not fit the {formal.Type.Name()} parameter {formal.Name}", actual.Text);
        copies.Add((to, from, formal.Type));
    }

    private static PtxOperand Label(PtxInstruction at, int target) =>
        new(OperandKind.Label, "", at.Line, at.Column) { Target = target };

    private static PtxOperand Map(PtxOperand o, PtxRegister[] registers, int[] places) =>
        new(o.Kind, o.Text, o.Line, o.Column)
        {
            Register = o.Register is null ? null : registers[o.Register.Index],
            Parameter = o.Parameter,
            Variable = o.Variable,
            Bits = o.Bits,
            Negated = o.Negated,
            Items = [.. o.Items.Select(item => Map(item, registers, places))],
            Target = o.Target < 0 ? -1 : places[o.Target],
            Targets = o.Targets?.Select(t => Map(t, registers, places)).ToArray(),
        };

    private static PtxInstruction Copy(PtxInstruction i, string opcode, string name,
        IReadOnlyList<PtxOperand> operands, PtxRegister[] registers, bool synthetic = false, bool guarded = true,
        bool negate = false, PtxTransfer? transfer = null) => new()
        {
            Opcode = opcode,
            Modifiers = opcode == CallEnd || (opcode == "bra" && i.Call is not null) ? [] : i.Modifiers,
            Operands = operands,
            Guard = guarded && i.Guard is not null ? registers[i.Guard.Index] : null,
            GuardNegated = guarded && i.GuardNegated != negate,
            FullName = name,
            Line = i.Line,
            Column = i.Column,
            Transfer = transfer,
            Synthetic = synthetic,
        };
}
