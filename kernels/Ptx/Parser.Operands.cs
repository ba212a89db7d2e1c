namespace CudaLora.Kernels.Ptx;

internal sealed partial class Parser
{
    private sealed partial class BodyScope
    {
        private PtxOperand Operand()
        {
            Token token = parser.Current;
            PtxOperand first = SimpleOperand();
            if (!parser.TryTake("|")) return first;
            PtxOperand second = SimpleOperand();
            return new PtxOperand(OperandKind.Pair, $"{first.Text}|{second.Text}", token.Line, token.Column)
            {
                Items = [first, second],
            };
        }

        private PtxOperand SimpleOperand()
        {
            Token token = parser.Current;
            if (token.Kind is not (TokenKind.Word or TokenKind.Symbol)) return parser.ConstantOperand();
            if (parser.TryTake("["))
            {
                PtxOperand address = Address(token);
                parser.Expect("]");
                return address;
            }
            if (parser.TryTake("{"))
            {
                var items = new List<PtxOperand>();
                do items.Add(SimpleOperand());
                while (parser.TryTake(","));
                parser.Expect("}");
                return new PtxOperand(OperandKind.Vector, "{...}", token.Line, token.Column) { Items = items };
            }
            bool negated = false;
            if (token.Is("!") && parser._tokens[parser._at + 1].Kind == TokenKind.Word)
            {
                parser.Take();
                negated = true;
                token = parser.Current;
            }
            if (token.Kind == TokenKind.Symbol) return parser.ConstantOperand();
            parser.Take();
            return Named(token, negated, allowOffset: true);
        }

        private PtxOperand Named(Token token, bool negated, bool allowOffset)
        {
            string text = token.Text;
            if (text == "_") return new PtxOperand(OperandKind.Sink, text, token.Line, token.Column);
            if (text == "WARP_SZ")
                return new PtxOperand(OperandKind.Integer, text, token.Line, token.Column) { Bits = 32 };
            if (Find(text, _scopes) is PtxRegister register)
            {
                return new PtxOperand(OperandKind.Register, text, token.Line, token.Column)
                {
                    Register = register,
                    Negated = negated,
                };
            }
            if (text[0] == '%') return new PtxOperand(OperandKind.Special, text, token.Line, token.Column);
            PtxVariable? variable = Find(text,
                _scopes) as PtxVariable ?? parser._moduleVariables.GetValueOrDefault(text);
            PtxParameter? parameter = entry?.ParameterList.Find(p => p.Name == text);
            if (variable is not null || parameter is not null)
            {
                ulong offset = 0;
                if (allowOffset && parser.TryTake("+")) offset = parser.ConstantExpression();
                return new PtxOperand(OperandKind.Symbol, text, token.Line, token.Column)
                {
                    Variable = variable,
                    Parameter = parameter,
                    Bits = offset,
                };
            }
            var label = new PtxOperand(OperandKind.Label, text, token.Line, token.Column);
            _pending.Add((label, [.. _scopes]));
            return label;
        }

        private PtxOperand Address(Token open)
        {
            Token token = parser.Current;
            if (token.Kind != TokenKind.Word)
            {
                return new PtxOperand(OperandKind.Address, "[" + token.Text + "]", open.Line, open.Column)
                {
                    Bits = parser.ConstantExpression(),
                };
            }
            parser.Take();
            PtxOperand origin = Named(token, negated: false, allowOffset: false);
            if (origin.Kind is not (OperandKind.Register or OperandKind.Symbol))
                throw parser.Error("an address starts with a register or a variable", token);
            ulong offset = 0;
            if (parser.TryTake("+")) offset = parser.ConstantExpression();
            var coordinates = new List<PtxOperand>();
            if (parser.TryTake(","))
            {
                parser.Expect("{");
                do coordinates.Add(SimpleOperand());
                while (parser.TryTake(","));
                parser.Expect("}");
            }
            return new PtxOperand(OperandKind.Address, "[" + token.Text + "]", open.Line, open.Column)
            {
                Register = origin.Register,
                Parameter = origin.Parameter,
                Variable = origin.Variable,
                Bits = offset,
                Items = coordinates,
            };
        }
    }
}
