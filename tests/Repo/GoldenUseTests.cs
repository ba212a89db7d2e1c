using System.Text.Json;

namespace CudaLora.Tests.Repo;

/// <summary>No golden lies unused.</summary>
public class GoldenUseTests
{
    [Fact]
    public void EveryOpGoldenIsNamedInATest()
    {
        using var json = JsonDocument.Parse(SourceTree.Text("tests/Golden/ops/ops.json"));
        var tests = string.Concat(SourceTree.Files(".cs")
            .Where(path => path.StartsWith("tests/", StringComparison.Ordinal)).Select(SourceTree.Text));
        var unused = json.RootElement.EnumerateObject().Select(op => op.Name)
            .Where(name => name != "made_with" && !tests.Contains($"\"{name}\"") && !tests.Contains($"\"{name}."));
        Assert.Empty(unused);
    }
}
