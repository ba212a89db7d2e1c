using System.Globalization;

namespace CudaLora.Kernels.Ptx;

/// <summary>Parses directives, variables and entries. Statements of a body are in the other part.</summary>
internal sealed partial class Parser
{
    private readonly List<Token> _tokens;
    private readonly string _file;
    private readonly PtxModule _module;
    private readonly Dictionary<string, PtxVariable> _moduleVariables = new(StringComparer.Ordinal);
    private int _at;

    public Parser(string text, string file)
    {
        _file = file;
        _tokens = Lexer.Run(text, file);
        _module = new PtxModule(file, text);
    }

    private Token Current => _tokens[_at];

    public PtxModule Run()
    {
        while (Current.Kind != TokenKind.End) ModuleItem();
        if (_module.Version == 0) throw Error("a PTX file starts with .version", Current);
        if (_module.Target.Length == 0) throw Error("a PTX file needs .target", Current);
        foreach (PtxEntry entry in _module.EntryList) new FunctionLinker(_module, entry).Link();
        return _module;
    }

    private PtxException Error(string problem, Token at) => new(_file, at.Line, at.Column, problem, at.Text);

    private Token Take()
    {
        Token token = Current;
        if (token.Kind != TokenKind.End) _at++;
        return token;
    }

    private bool TryTake(string text)
    {
        if (!Current.Is(text)) return false;
        _at++;
        return true;
    }

    private void Expect(string text)
    {
        if (!TryTake(text)) throw Error($"expected '{text}'", Current);
    }

    private Token TakeName()
    {
        if (Current.Kind != TokenKind.Word || Current.Text[0] == '.') throw Error("expected a name", Current);
        return Take();
    }

    private long TakeInteger(long low, long high)
    {
        Token at = Current;
        long value = (long)ConstantExpression();
        if (value < low || value > high) throw Error($"expected an integer in {low}..{high}", at);
        return value;
    }

    private void ModuleItem()
    {
        Token token = Current;
        switch (token.Text)
        {
            case ".version":
                Take();
                Version();
                return;
            case ".target":
                Take();
                Target();
                return;
            case ".address_size":
                Take();
                if (TakeInteger(32, 64) != 64) throw Error("only 64-bit addresses are supported", token);
                return;
            case ".visible" or ".weak":
                Take();
                return;
            case ".entry":
                Take();
                Entry();
                return;
            case ".extern" when _tokens[_at + 1].Is(".func"):
                Take();
                return;
            case ".extern" or ".global" or ".const" or ".shared":
                foreach (PtxVariable variable in VariableDeclaration())
                {
                    if (!_moduleVariables.TryAdd(variable.Name, variable))
                        throw Error("the name is declared twice", token);
                    _module.VariableList.Add(variable);
                }
                return;
            case ".file":
                SkipLine(token.Line);
                return;
            case ".func":
                Take();
                Function();
                return;
            case ";":
                Take();
                return;
            default:
                throw Error("not a supported module directive", token);
        }
    }

    private void SkipLine(int line)
    {
        while (Current.Kind != TokenKind.End && Current.Line == line) Take();
    }

    private void Version()
    {
        Token token = Take();
        string[] parts = token.Text.Split('.');
        if (parts.Length != 2 || !int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int major)
            || !int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int minor))
            throw Error("expected a version such as 8.0", token);
        _module.Version = (major * 10) + minor;
        if (_module.Version > 84) throw Error("PTX ISA versions up to 8.4 are supported", token);
    }

    private void Target()
    {
        Token token = TakeName();
        string number = token.Text.StartsWith("sm_", StringComparison.Ordinal) ? token.Text[3..].TrimEnd('a') : "";
        if (!int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out int target))
            throw Error("expected a target such as sm_80", token);
        _module.Target = token.Text;
        _module.TargetNumber = target;
        while (TryTake(",")) TakeName();
    }

    private List<PtxVariable> VariableDeclaration()
    {
        bool isExtern = TryTake(".extern");
        Token spaceToken = Take();
        PtxSpace space = spaceToken.Text switch
        {
            ".global" => PtxSpace.Global,
            ".const" => PtxSpace.Const,
            ".shared" or ".shared::cta" => PtxSpace.Shared,
            ".local" => PtxSpace.Local,
            ".param" => PtxSpace.Param,
            _ => throw Error("not a supported variable space", spaceToken),
        };
        if (isExtern && space != PtxSpace.Shared) throw Error(".extern is supported for .shared only", spaceToken);
        int alignment = 0;
        if (TryTake(".align")) alignment = (int)TakeInteger(1, 1 << 16);
        PtxType type = TakeType();
        if (type == PtxType.Pred) throw Error("a predicate cannot live in memory", Current);
        var list = new List<PtxVariable>();
        do
        {
            Token name = TakeName();
            long elements = 1;
            bool unsized = false;
            while (TryTake("["))
            {
                if (Current.Is("]")) unsized = true;
                else elements *= TakeInteger(1, 1L << 40);
                Expect("]");
            }
            byte[]? initial = null;
            if (TryTake("="))
            {
                if (space is not (PtxSpace.Global or PtxSpace.Const))
                    throw Error("only .global and .const have initial values", name);
                initial = Initializer(type, ref elements, unsized);
                unsized = false;
            }
            if (unsized && !isExtern) throw Error("an array needs its length", name);
            list.Add(new PtxVariable(name.Text, space, type, unsized ? 0 : elements,
                Math.Max(alignment, type.Size()), isExtern)
            { Initial = initial });
        }
        while (TryTake(","));
        Expect(";");
        return list;
    }

    private PtxType TakeType()
    {
        Token token = Take();
        if (token.Text.StartsWith('.') && PtxTypes.TryParse(token.Text[1..], out PtxType type)) return type;
        throw Error("expected a type", token);
    }

    private byte[] Initializer(PtxType type, ref long elements, bool unsized)
    {
        var values = new List<byte>();
        void One()
        {
            PtxOperand value = ConstantOperand();
            ulong bits = value.Kind == OperandKind.Integer ? value.Bits : FloatBits(value, type);
            if (value.Kind == OperandKind.Integer && type == PtxType.F32)
                bits = BitConverter.SingleToUInt32Bits((long)bits);
            if (value.Kind == OperandKind.Integer && type == PtxType.F64)
                bits = BitConverter.DoubleToUInt64Bits((long)bits);
            for (int i = 0; i < type.Size(); i++) values.Add((byte)(bits >> (8 * i)));
        }
        void Level()
        {
            if (!TryTake("{"))
            {
                One();
                return;
            }
            if (TryTake("}")) return;
            do Level();
            while (TryTake(","));
            Expect("}");
        }
        Token at = Current;
        Level();
        if (unsized) elements = values.Count / type.Size();
        if (values.Count > elements * type.Size()) throw Error("more initial values than elements", at);
        values.AddRange(new byte[(elements * type.Size()) - values.Count]);
        return [.. values];
    }

    /// <summary>The bits of a float literal as a value of <paramref name="type"/>.</summary>
    internal static ulong FloatBits(PtxOperand literal, PtxType type)
    {
        double value = literal.Kind == OperandKind.Float32
            ? BitConverter.UInt32BitsToSingle((uint)literal.Bits)
            : BitConverter.UInt64BitsToDouble(literal.Bits);
        return type switch
        {
            PtxType.F64 => BitConverter.DoubleToUInt64Bits(value),
            PtxType.F16 => BitConverter.HalfToUInt16Bits((Half)value),
            _ => literal.Kind == OperandKind.Float32 ? literal.Bits : BitConverter.SingleToUInt32Bits((float)value),
        };
    }
}
