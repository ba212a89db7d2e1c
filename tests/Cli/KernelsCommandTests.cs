using System.Text.Json;
using CudaLora.Cli;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Ops;

namespace CudaLora.Tests;

/// <summary><c>cudalora kernels</c> as a person types it.</summary>
public class KernelsCommandTests
{
    [Fact]
    public void ListNamesEveryKernel()
    {
        CliRun run = CliRun.Of("kernels", "list").AssertSucceeds();
        foreach (KernelLab lab in KernelLab.All) Assert.Contains(lab.Entry, run.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void ShowGivesHeaderParametersAndText()
    {
        CliRun run = CliRun.Of("kernels", "show", "vector_add_f32").AssertSucceeds();
        Assert.StartsWith("// VectorAdd: c = a + b", run.Output, StringComparison.Ordinal);
        Assert.Contains("add.rn.f32 sum, left, right;", run.Output, StringComparison.Ordinal);
        Assert.Equal(KernelSource.Read("VectorAdd"), CliRun.Of("kernels", "show", "VectorAdd").AssertSucceeds().Output);
    }

    [Fact]
    public void RunCountsAndCompares()
    {
        CliRun run = CliRun.Of("kernels", "run", "vector_add_f32", "--shape", "4096", "--format",
            "json").AssertSucceeds();
        JsonElement bytes = JsonDocument.Parse(run.Output).RootElement.EnumerateArray()
            .Single(row => row.GetProperty("of").GetString() == "global bytes");
        Assert.Equal(49152, bytes.GetProperty("value").GetInt64());
        Assert.Equal(1, bytes.GetProperty("ratio").GetDouble());
    }

    [Fact]
    public void TraceFollowsOneThread()
    {
        CliRun run = CliRun.Of(
            "kernels", "trace", "vector_add_f32", "--shape", "1000", "--block", "1", "--warp", "2", "--lane", "3")
            .AssertSucceeds();
        // Block 1, warp 2, lane 3 of blocks of 256 is element 256 + 64 + 3.
        Assert.Contains("i=323", run.Output.Replace("0x143", "323", StringComparison.Ordinal),
            StringComparison.Ordinal);
        Assert.Contains("st.global.f32 [cAt], sum;", run.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void TraceShowsTheStatementAndTheCommentAboveIt()
    {
        var lines = CliRun.Of(
            "kernels", "trace", "lora_decode_up_bf16", "--shape", "1,64,16,8", "--steps", "2000")
            .AssertSucceeds().Output.Split('\n');
        Assert.Contains(lines, line => line.TrimStart().StartsWith("//", StringComparison.Ordinal));
        Assert.All(
            lines.Where(line => line.Length > 64 && char.IsAsciiDigit(line.TrimStart()[0])),
            line => Assert.Equal(1, line[7..].Count(c => c == ';')));
    }

    [Fact]
    public void AStatementIsFoundByItsColumn()
    {
        string[] source = ["  mov.u32 a, 1; @p add.u32 b, a, 2;", "  mma.sync {a, b},", "      {c};"];
        Assert.Equal("mov.u32 a, 1;", KernelsTrace.Statement(source, 1, 3));
        Assert.Equal("@p add.u32 b, a, 2;", KernelsTrace.Statement(source, 1, 20));
        Assert.Equal("mma.sync {a, b}, {c};", KernelsTrace.Statement(source, 2, 3));
    }

    [Fact]
    public void ReportCoversEveryKernelAsMarkdown()
    {
        CliRun run = CliRun.Of("kernels", "report", "--format", "markdown").AssertSucceeds();
        string[] lines = run.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(KernelLab.All.Count + 2, lines.Length);
        Assert.All(lines.Skip(2), line => Assert.Contains("| agrees |", line, StringComparison.Ordinal));
    }

    [Fact]
    public void ReportAsJsonHasNumbers()
    {
        CliRun run = CliRun.Of("kernels", "report", "--format", "json").AssertSucceeds();
        JsonElement add = JsonDocument.Parse(run.Output).RootElement.EnumerateArray()
            .Single(row => row.GetProperty("kernel").GetString() == "vector_add_f32");
        Assert.Equal(12000, add.GetProperty("least_bytes").GetInt64());
        Assert.Equal(12000, add.GetProperty("bytes").GetInt64());
        Assert.Equal(375, add.GetProperty("sectors").GetInt64());
        Assert.Equal(0, add.GetProperty("conflicts").GetInt64());
        Assert.Equal(0, add.GetProperty("spills").GetInt64());
        Assert.InRange(add.GetProperty("regs").GetInt64(), 8, 64);
    }

    [Fact]
    public void BenchTimesAKernelAndComparesIt()
    {
        CliRun run = CliRun.Of(
            "kernels", "bench", "vector_add_f32", "--device", "emulator", "--repeats", "2", "--format", "json")
            .AssertSucceeds();
        JsonElement row = JsonDocument.Parse(run.Output).RootElement.EnumerateArray().Single();
        Assert.True(row.GetProperty("cold_us").GetDouble() > 0);
        Assert.Equal("agrees", row.GetProperty("oracle").GetString());
    }

    [Fact]
    public void CheckTakesAnyFile()
    {
        using var folder = new TemporaryFolder();
        string good = folder.Write("good.ptx", KernelSource.Read("Transpose"));
        CliRun run = CliRun.Of("kernels", "check", good).AssertSucceeds();
        Assert.Contains("transpose_padded_f32: 4 parameters, 24 bytes", run.Output, StringComparison.Ordinal);
        Assert.Contains(
            Ptxas.Find() is null ? "not assembled" : "parsed and assembled", run.Output, StringComparison.Ordinal);

        string bad = folder.Write("bad.ptx",
            KernelSource.Read("VectorAdd").Replace("add.rn.f32", "adds.rn.f32", StringComparison.Ordinal));
        CliRun.Of("kernels", "check", bad).AssertFails(1, "bad.ptx", "adds");
        CliRun.Of("kernels", "check", folder.File("none.ptx")).AssertFails(1, "none.ptx");
    }

    [Theory]
    [InlineData("kernels needs one of", "kernels")]
    [InlineData("there is no kernel 'nothing'", "kernels", "run", "nothing")]
    [InlineData("'RmsNorm' has several entries", "kernels", "run", "RmsNorm")]
    [InlineData("--shape takes numbers such as 64,128, but got '12,x'", "kernels", "run", "vector_add_f32", "--shape",
        "12,x")]
    [InlineData("a shape must be 1 positive numbers (n), but got (1, 2)", "kernels", "run", "VectorAdd", "--shape",
        "1,2")]
    [InlineData("--device must be emulator or cuda", "kernels", "run", "VectorAdd", "--device", "tpu")]
    [InlineData("--format must be text, markdown or json", "kernels", "list", "--format", "xml")]
    [InlineData("--lane must be 0 to 31", "kernels", "trace", "VectorAdd", "--lane", "32")]
    [InlineData("there is no block (99, 0, 0), warp 0, lane 0", "kernels", "trace", "VectorAdd", "--block", "99")]
    public void AMistakeIsOneLineAndExitCodeTwo(string mention, params string[] args) =>
        CliRun.Of(args).AssertFails(2, mention);

    [Fact]
    public void CudaWithoutADriverSaysWhy()
    {
        Assert.SkipWhen(DriverProbe.TryFindCuda(out _, out _), "this machine has CUDA");
        CliRun.Of("kernels", "run", "VectorAdd", "--device", "cuda").AssertFails(1, "--device cuda:");
    }
}
