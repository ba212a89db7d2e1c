namespace CudaLora.Kernels.Ptx;

internal sealed partial class Parser
{
    /// <summary>An integer expression or a float literal, possibly with a sign.</summary>
    private PtxOperand ConstantOperand()
    {
        Token token = Current;
        bool negative = token.Is("-") && _tokens[_at + 1].Kind is TokenKind.Float32 or TokenKind.Float64;
        if (negative) Take();
        if (Current.Kind is TokenKind.Float32 or TokenKind.Float64)
        {
            Token literal = Take();
            bool single = literal.Kind == TokenKind.Float32;
            ulong sign = negative ? (single ? 1ul << 31 : 1ul << 63) : 0;
            return new PtxOperand(single ? OperandKind.Float32 : OperandKind.Float64, literal.Text, token.Line,
                token.Column)
            {
                Bits = literal.Bits ^ sign,
            };
        }
        ulong value = ConstantExpression();
        return new PtxOperand(OperandKind.Integer, token.Text, token.Line, token.Column) { Bits = value };
    }

    private ulong ConstantExpression(int minimum = 0)
    {
        ulong left = Unary();
        while (true)
        {
            string op = Current.Text;
            int precedence = Current.Kind != TokenKind.Symbol ? -1 : op switch
            {
                "|" => 1,
                "^" => 2,
                "&" => 3,
                "<<" or ">>" => 4,
                "+" or "-" => 5,
                "*" or "/" or "%" => 6,
                _ => -1,
            };
            if (precedence < 0 || precedence < minimum) return left;
            Token at = Take();
            ulong right = ConstantExpression(precedence + 1);
            if (op is "/" or "%" && right == 0) throw Error("division by zero", at);
            left = op switch
            {
                "|" => left | right,
                "^" => left ^ right,
                "&" => left & right,
                "<<" => right > 63 ? 0 : left << (int)right,
                ">>" => right > 63 ? 0 : left >> (int)right,
                "+" => left + right,
                "-" => left - right,
                "*" => left * right,
                "/" => (ulong)((long)left / (long)right),
                _ => (ulong)((long)left % (long)right),
            };
        }
    }

    private ulong Unary()
    {
        Token token = Take();
        if (token.Kind == TokenKind.Integer) return token.Bits;
        if (token.Is("-")) return 0 - Unary();
        if (token.Is("+")) return Unary();
        if (token.Is("~")) return ~Unary();
        if (token.Is("!")) return Unary() == 0 ? 1ul : 0;
        if (token.Is("("))
        {
            ulong value = ConstantExpression();
            Expect(")");
            return value;
        }
        throw Error("expected a value", token);
    }
}
