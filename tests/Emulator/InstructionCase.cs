using System.Globalization;
using System.Text;

namespace CudaLora.Tests;

/// <summary>
/// One ALU instruction over many operand values: literal bits in, literal bits out. The instruction reads registers a,
/// b, c and writes d (types by <paramref name="Types"/>, first d); p is a predicate for instructions that need one.
/// </summary>
internal sealed record InstructionCase(string Instruction, string Types, params ulong[][] Rows)
{
    /// <summary>The whole program: each thread loads its row, runs the instruction once and stores d.</summary>
    public PtxProgram Program(string target = "sm_80")
    {
        string[] types = Types.Split(' ');
        string[] names = ["d", "a", "b", "c"];
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture,
            $".version 8.0\n.target {target}\n.address_size 64\n.visible .entry k(");
        for (int i = 0; i < types.Length; i++) text.Append(i == 0 ? "" : ", ").Append(".param .u64 p").Append(names[i]);
        text.Append(
            ") {\n.reg .pred p, q;\n.reg .b32 t;\n.reg .b64 at, off;\nmov.u32 t, %tid.x;\nsetp.ne.u32 p, t, 9999;\n");
        for (int i = 0; i < types.Length; i++)
        {
            string type = types[i];
            text.Append(CultureInfo.InvariantCulture, $".reg .{type} {names[i]};\n");
            if (i == 0) continue;
            text.Append(CultureInfo.InvariantCulture,
                $"ld.param.u64 at, [p{names[i]}];\nmul.wide.u32 off, t, 8;\nadd.u64 at, at, off;\nld.global.{Load(type)} {names[i]}, [at];\n");
        }
        text.Append(Instruction).Append(
            "\nld.param.u64 at, [pd];\nmul.wide.u32 off, t, 8;\nadd.u64 at, at, off;\n")
            .Append(CultureInfo.InvariantCulture, $"st.global.{Load(types[0])} [at], d;\nret;\n}}\n");
        var program = new PtxProgram(text.ToString()) { Block = Rows.Length };
        program.Input(Enumerable.Repeat(0ul, Rows.Length).ToArray());
        for (int i = 1; i < types.Length; i++) program.Input(Rows.Select(r => r[i - 1]).ToArray());
        return program;
    }

    public void Verify(string target = "sm_80")
    {
        ulong[] found = Program(target).Run().Succeeded().Read<ulong>(0);
        for (int i = 0; i < Rows.Length; i++)
        {
            ulong want = Rows[i][^1];
            Assert.True(found[i] == want,
                $"{Instruction} row {i} ({string.Join(", ", Rows[i][..^1].Select(v => $"0x{v:X}"))}): "
                + $"expected 0x{want:X}, but got 0x{found[i]:X}");
        }
        HardwareComparison.Check(Program(target));
    }

    private static string Load(string type) => type is "b16" or "u16" or "s16" or "f16" ? "b16" : "b" + type[1..];
}
