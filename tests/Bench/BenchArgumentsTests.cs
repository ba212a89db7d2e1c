using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Running;
using CudaLora.Bench;
using CudaLora.Bench.Ops;

namespace CudaLora.Tests;

/// <summary>The bench program's command line; no test runs a benchmark.</summary>
public class BenchArgumentsTests
{
    private const string Ops = "CudaLora.Bench.Ops.*";

    [Theory]
    [InlineData("", false, "--filter|*", "--filter|*")]
    [InlineData("", false, "", "")]
    [InlineData("", true, "--quick", "--filter|" + Ops)]
    [InlineData("", true, "--quick|--memory", "--filter|" + Ops + "|--memory")]
    [InlineData("", true, "--filter|*Silu*|--quick", "--filter|*Silu*")]
    [InlineData("", true, "--quick|--list|flat", "--list|flat")]
    [InlineData("gpu", false, "gpu|--device|cuda", "--device|cuda")]
    [InlineData("process", false, "process|--repeats|3", "--repeats|3")]
    [InlineData("readme", false, "readme|--check", "--check")]
    public void ArgumentsPassThrough(string mode, bool quick, string args, string rest)
    {
        var read = BenchArguments.Read(Split(args));
        Assert.Equal((mode, quick), (read.Mode, read.Quick));
        Assert.Equal(Split(rest), read.Rest);
    }

    [Fact]
    public void QuickTakesOneSizeOfEveryMethodOfEveryOpClass()
    {
        var classes = typeof(OpBench).Assembly.GetTypes().Where(type => type is { IsPublic: true, IsAbstract: false }
            && type.Namespace == typeof(OpBench).Namespace && Benchmarks(type) > 0).ToArray();
        Assert.True(classes.Length > 30, $"{classes.Length} op classes");
        foreach (var type in classes)
        {
            var cases = BenchmarkConverter.TypeToBenchmarks(type, new QuickConfig()).BenchmarksCases;
            Assert.Equal(Benchmarks(type), cases.Length);
            Assert.Single(cases.Select(one => one.Parameters.ValueInfo).Distinct());
        }
    }

    private static int Benchmarks(Type type) =>
        type.GetMethods().Count(method => method.IsDefined(typeof(BenchmarkAttribute), inherit: true));

    private static string[] Split(string text) => text.Split('|', StringSplitOptions.RemoveEmptyEntries);
}
