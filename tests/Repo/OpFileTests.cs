namespace CudaLora.Tests.Repo;

/// <summary>
/// One op, one stem: engine/Ops/X.cs has tests/Ops/X*Tests.cs and bench/Ops/XBench.cs; a kernel X.ptx has X.cs beside
/// it.
/// </summary>
public class OpFileTests
{
    // A file of engine/Ops that adds no method to TensorOps is shared by ops, not one.
    private static IEnumerable<string> Ops => SourceTree.Stems("engine/Ops", "*.cs").Where(
        op => SourceTree.Text($"engine/Ops/{op}.cs").Contains("static partial class TensorOps"));

    [Fact]
    public void EveryOpHasTests()
    {
        var tests = SourceTree.Stems("tests/Ops", "*Tests.cs");
        var untested = Ops.Where(op => !tests.Any(test => test == op + "Tests" || test == op + "OpTests"));
        Assert.Empty(untested);
    }

    [Fact]
    public void EveryOpHasABench()
    {
        var benches = SourceTree.Stems("bench/Ops", "*Bench.cs");
        var unmeasured = Ops.Where(op => !benches.Contains(op + "Bench"));
        Assert.Empty(unmeasured);
    }

    // X.ptx belongs to X.cs. A variant of the same op, as GemmMmaNn of GemmMma, belongs to the file whose name it
    // begins with, which must name it.
    [Fact]
    public void EveryKernelHasItsLaunch()
    {
        var sources = SourceTree.Stems("kernels/Ops", "*.cs");
        var orphans = SourceTree.Stems("kernels/Ops", "*.ptx").Where(kernel => !sources.Any(
            source => source == kernel || (kernel.StartsWith(source, StringComparison.Ordinal)
                && SourceTree.Text($"kernels/Ops/{source}.cs").Contains($"\"{kernel}\""))));
        Assert.Empty(orphans);
    }
}
