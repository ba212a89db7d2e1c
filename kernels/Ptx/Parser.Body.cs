namespace CudaLora.Kernels.Ptx;

internal sealed partial class Parser
{
    /// <summary>
    /// Parses the body of an entry or a function with its nested scopes of registers, variables and labels.
    /// </summary>
    private sealed partial class BodyScope(Parser parser, PtxCode code, PtxEntry? entry)
    {
        private readonly List<Dictionary<string, object>> _scopes = [];
        private readonly List<(PtxOperand Operand, List<Dictionary<string, object>> Scopes)> _pending = [];

        /// <summary>Reads the body; <paramref name="formals"/> are a function's returns and parameters.</summary>
        public void Run(params ReadOnlySpan<PtxFormal> formals)
        {
            _scopes.Add(new Dictionary<string, object>(StringComparer.Ordinal));
            foreach (PtxFormal formal in formals)
                _scopes[0].Add(formal.Name, (object?)formal.Register ?? formal.Variable!);
            Block();
            foreach ((PtxOperand operand, List<Dictionary<string, object>> scopes) in _pending)
            {
                switch (Find(operand.Text, scopes))
                {
                    case int index:
                        operand.Target = index;
                        break;
                    case List<PtxOperand> targets:
                        operand.Targets = targets;
                        break;
                    default:
                        throw new PtxException(parser._file, operand.Line, operand.Column, "unknown name",
                            operand.Text);
                }
            }
        }

        private static object? Find(string name, List<Dictionary<string, object>> scopes)
        {
            for (int i = scopes.Count - 1; i >= 0; i--)
            {
                if (scopes[i].TryGetValue(name, out object? found)) return found;
            }
            return null;
        }

        private void Declare(Token name, string text, object value)
        {
            if (!_scopes[^1].TryAdd(text, value)) throw parser.Error("the name is declared twice", name);
        }

        private void Block()
        {
            parser.Expect("{");
            _scopes.Add(new Dictionary<string, object>(StringComparer.Ordinal));
            while (!parser.TryTake("}"))
            {
                if (parser.Current.Kind == TokenKind.End) throw parser.Error("expected '}'", parser.Current);
                Statement();
            }
            _scopes.RemoveAt(_scopes.Count - 1);
        }

        private void Statement()
        {
            Token token = parser.Current;
            switch (token.Text)
            {
                case "{":
                    Block();
                    return;
                case ";":
                    parser.Take();
                    return;
                case ".reg":
                    parser.Take();
                    Registers();
                    return;
                case ".shared" or ".local" or ".shared::cta" or ".param":
                    foreach (PtxVariable variable in parser.VariableDeclaration())
                    {
                        Declare(token, variable.Name, variable);
                        code.Variables.Add(variable);
                    }
                    return;
                case ".loc":
                    parser.SkipLine(token.Line);
                    return;
                case ".pragma":
                    parser.Pragma();
                    return;
            }
            if (token.Text.StartsWith('.')) throw parser.Error("not a supported directive in a body", token);
            if (token.Kind == TokenKind.Word && parser._tokens[parser._at + 1].Is(":"))
            {
                parser._at += 2;
                if (parser.TryTake(".branchtargets")) Declare(token, token.Text, BranchTargets());
                else if (parser.Current.Text is ".callprototype" or ".calltargets")
                    throw parser.Error("indirect calls are not supported", parser.Current);
                else Declare(token, token.Text, code.Body.Count);
                return;
            }
            Instruction();
        }

        private void Registers()
        {
            PtxType type = parser.TakeType();
            if (type == PtxType.B128) throw parser.Error(".b128 registers are not supported", parser.Current);
            do
            {
                Token name = parser.TakeName();
                if (!parser.TryTake("<"))
                {
                    Add(name, name.Text, type);
                    continue;
                }
                int count = (int)parser.TakeInteger(1, 1 << 16);
                parser.Expect(">");
                for (int i = 0; i < count; i++) Add(name, name.Text + i, type);
            }
            while (parser.TryTake(","));
            parser.Expect(";");
        }

        private List<PtxOperand> BranchTargets()
        {
            var labels = new List<PtxOperand>();
            do
            {
                Token name = parser.TakeName();
                var label = new PtxOperand(OperandKind.Label, name.Text, name.Line, name.Column);
                _pending.Add((label, [.. _scopes]));
                labels.Add(label);
            }
            while (parser.TryTake(","));
            parser.Expect(";");
            return labels;
        }

        private void Add(Token at, string name, PtxType type)
        {
            var register = new PtxRegister(name, type, code.Registers.Count);
            code.Registers.Add(register);
            Declare(at, name, register);
        }

        private void Instruction()
        {
            PtxRegister? guard = null;
            bool negated = false;
            if (parser.TryTake("@"))
            {
                negated = parser.TryTake("!");
                Token name = parser.TakeName();
                guard = Find(name.Text, _scopes) as PtxRegister;
                if (guard is not { Type: PtxType.Pred }) throw parser.Error("a guard is a predicate register", name);
            }
            Token opcode = parser.TakeName();
            string[] parts = opcode.Text.Split('.');
            var operands = new List<PtxOperand>();
            PtxCall? call = null;
            if (parts[0] == "call")
            {
                call = Call();
            }
            else if (!parser.Current.Is(";"))
            {
                do operands.Add(Operand());
                while (parser.TryTake(","));
            }
            if (!parser.TryTake(";")) throw parser.Error("expected ',' or ';'", parser.Current);
            code.Body.Add(new PtxInstruction
            {
                Opcode = parts[0],
                Modifiers = parts[1..],
                Operands = operands,
                Guard = guard,
                GuardNegated = negated,
                FullName = opcode.Text,
                Line = opcode.Line,
                Column = opcode.Column,
                Call = call,
            });
        }

        /// <summary><c>(returns), name, (arguments)</c>, each list optional.</summary>
        private PtxCall Call()
        {
            List<PtxOperand> returns = [], arguments = [];
            if (parser.Current.Is("("))
            {
                returns = CallList();
                parser.Expect(",");
            }
            Token name = parser.TakeName();
            if (Find(name.Text, _scopes) is PtxRegister)
                throw parser.Error("indirect calls are not supported", name);
            if (parser.TryTake(",")) arguments = CallList();
            if (parser.Current.Is(",")) throw parser.Error("indirect calls are not supported", parser.Current);
            return new PtxCall(name, returns, arguments);
        }

        private List<PtxOperand> CallList()
        {
            var list = new List<PtxOperand>();
            parser.Expect("(");
            if (parser.TryTake(")")) return list;
            do list.Add(SimpleOperand());
            while (parser.TryTake(","));
            parser.Expect(")");
            return list;
        }
    }
}
