namespace CudaLora.Kernels.Ptx;

/// <summary>Entries and functions: their parameters and what stands before the body.</summary>
internal sealed partial class Parser
{
    private void Entry()
    {
        Token name = TakeName();
        if (_module.FindEntry(name.Text) is not null) throw Error("the entry is declared twice", name);
        var entry = new PtxEntry(_module, name.Text, name.Line);
        if (TryTake("("))
        {
            if (!Current.Is(")"))
            {
                do Parameter(entry);
                while (TryTake(","));
            }
            Expect(")");
        }
        while (!Current.Is("{")) EntryDirective(entry);
        _module.EntryList.Add(entry);
        new BodyScope(this, entry.Code, entry).Run();
    }

    private void Parameter(PtxEntry entry)
    {
        Expect(".param");
        int alignment = 0;
        PtxType type = PtxType.None;
        while (Current.Text.StartsWith('.'))
        {
            if (TryTake(".align")) alignment = (int)TakeInteger(1, 1 << 12);
            else if (TryTake(".ptr") || TryTake(".global") || TryTake(".const") || TryTake(".shared")) continue;
            else type = TakeType();
        }
        Token name = TakeName();
        if (type is PtxType.None or PtxType.Pred) throw Error("a parameter needs a type", name);
        int elements = 0;
        if (TryTake("["))
        {
            elements = (int)TakeInteger(1, 4096);
            Expect("]");
        }
        alignment = Math.Max(alignment, type.Size());
        if (entry.ParameterList.Exists(p => p.Name == name.Text)) throw Error("the parameter is declared twice", name);
        int offset = (entry.ParameterBytes + alignment - 1) / alignment * alignment;
        int size = Math.Max(elements, 1) * type.Size();
        entry.ParameterList.Add(new PtxParameter(name.Text, type, size, alignment, offset, elements));
        entry.ParameterBytes = offset + size;
    }

    private (int X, int Y, int Z) Triple()
    {
        int x = (int)TakeInteger(1, 1024), y = 1, z = 1;
        if (TryTake(",")) y = (int)TakeInteger(1, 1024);
        if (TryTake(",")) z = (int)TakeInteger(1, 1024);
        return (x, y, z);
    }

    private void EntryDirective(PtxEntry entry)
    {
        Token token = Take();
        switch (token.Text)
        {
            case ".maxntid":
                (int x, int y, int z) = Triple();
                entry.MaxThreads = x * y * z;
                break;
            case ".reqntid":
                entry.RequiredThreads = Triple();
                break;
            case ".reqnctapercluster":
                entry.RequiredCluster = Triple();
                break;
            case ".minnctapersm":
                entry.MinBlocksPerSm = (int)TakeInteger(1, 64);
                break;
            case ".maxnreg":
                entry.MaxRegisters = (int)TakeInteger(1, 255);
                break;
            case ".explicitcluster":
                break;
            case ".maxclusterrank":
                TakeInteger(1, 16);
                break;
            case ".pragma":
                _at--;
                Pragma();
                break;
            default:
                throw Error("not a supported entry directive", token);
        }
    }

    private void Pragma()
    {
        Expect(".pragma");
        do Take();
        while (TryTake(","));
        Expect(";");
    }

    /// <summary><c>(returns) name (parameters)</c>, then a body or, for a declaration, a semicolon.</summary>
    private void Function()
    {
        TryTake(".noreturn");
        var code = new PtxCode();
        List<PtxFormal> returns = Current.Is("(") ? Formals(code, readOnly: false) : [];
        Token name = TakeName();
        List<PtxFormal> parameters = Current.Is("(") ? Formals(code, readOnly: true) : [];
        while (TryTake(".noreturn"))
        {
        }
        bool declared = TryTake(";");
        PtxFunction? earlier = _module.FunctionList.Find(f => f.Name == name.Text);
        if (declared)
        {
            if (earlier is null) _module.FunctionList.Add(new PtxFunction(name.Text, returns, parameters, null));
            return;
        }
        if (earlier is { Code: not null }) throw Error("the function is declared twice", name);
        if (earlier is not null) _module.FunctionList.Remove(earlier);
        while (!Current.Is("{")) Pragma();
        _module.FunctionList.Add(new PtxFunction(name.Text, returns, parameters, code));
        new BodyScope(this, code, null).Run([.. returns, .. parameters]);
    }

    private List<PtxFormal> Formals(PtxCode code, bool readOnly)
    {
        var list = new List<PtxFormal>();
        Expect("(");
        if (TryTake(")")) return list;
        do
        {
            Token space = Take();
            if (space.Text is not (".reg" or ".param")) throw Error("expected .reg or .param", space);
            int alignment = TryTake(".align") ? (int)TakeInteger(1, 1 << 12) : 0;
            PtxType type = TakeType();
            Token name = TakeName();
            if (space.Text == ".reg")
            {
                if (type.Size() is not (4 or 8))
                    throw Error("a register parameter has 32 or 64 bits; others go through .param", name);
                var register = new PtxRegister(name.Text, type, code.Registers.Count);
                code.Registers.Add(register);
                list.Add(new PtxFormal(name.Text, register, null));
                continue;
            }
            long elements = 1;
            if (TryTake("["))
            {
                elements = TakeInteger(1, 1 << 16);
                Expect("]");
            }
            if (type == PtxType.Pred) throw Error("a predicate cannot live in memory", name);
            var variable = new PtxVariable(name.Text, PtxSpace.Param, type, elements,
                Math.Max(alignment, type.Size()), isExtern: false)
            { IsReadOnly = readOnly };
            code.Variables.Add(variable);
            list.Add(new PtxFormal(name.Text, null, variable));
        }
        while (TryTake(","));
        Expect(")");
        return list;
    }
}
