using System.IO.Compression;
using System.Xml.Linq;

namespace CudaLora.Tests.Repo;

/// <summary>The three libraries are packages that a program can take from any feed.</summary>
[Collection(nameof(PublishTests))] // not beside it: both read what the SDK restored
public class PackTests
{
    private static readonly string[] Projects =
        ["kernels/CudaLora.Kernels.csproj", "engine/CudaLora.Engine.csproj", "lora/CudaLora.Lora.csproj"];

    [Fact]
    public void ThePackagesHoldWhatTheySay()
    {
        Assert.SkipUnless(Directory.Exists(SourceTree.Full("lora")), "packages are made from the sources");
        using var folder = new TemporaryFolder();
        string? below = null;
        foreach (var project in Projects)
        {
            // The libraries are built: the tests stand on them.
            var (code, said) = PublishTests.Output(
                "dotnet", "pack", SourceTree.Full(project), "-c", "Release", "--no-build", "-o", folder.Path,
                "-v", "q", "-nologo");
            Assert.SkipWhen(code != 0 && said.Contains("NU5026", StringComparison.Ordinal), "no Release build");
            Assert.True(code == 0, said);
            Assert.DoesNotContain("warning", said, StringComparison.Ordinal);
            below = Check(folder, Path.GetFileNameWithoutExtension(project), below);
        }
    }

    // The package's own name and its only dependency.
    private static string Check(TemporaryFolder folder, string name, string? dependency)
    {
        var file = Assert.Single(Directory.GetFiles(folder.Path, name + ".*.nupkg"));
        using var package = ZipFile.OpenRead(file);
        var files = package.Entries.Select(entry => entry.FullName).ToArray();
        Assert.Contains("README.md", files);
        // Nothing native, nothing bundled: one library and its documentation.
        Assert.Equal(
            [$"lib/net10.0/{name}.dll", $"lib/net10.0/{name}.xml"],
            files.Where(entry => entry.StartsWith("lib/", StringComparison.Ordinal)
                || entry.StartsWith("content", StringComparison.Ordinal)
                || entry.StartsWith("runtimes/", StringComparison.Ordinal)).Order(StringComparer.Ordinal));

        using var text = package.GetEntry(name + ".nuspec")!.Open();
        var elements = XDocument.Load(text).Descendants().ToLookup(element => element.Name.LocalName);
        Assert.Equal("MIT", elements["license"].Single().Value);
        Assert.Equal("README.md", elements["readme"].Single().Value);
        Assert.NotEqual("Package Description", elements["description"].Single().Value);
        Assert.Equal(
            dependency is null ? [] : [dependency], elements["dependency"].Select(e => e.Attribute("id")!.Value));
        return name;
    }
}
