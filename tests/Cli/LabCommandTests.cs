using System.Text.Json.Nodes;

namespace CudaLora.Tests;

/// <summary><c>cudalora lab</c>: what each experiment states, on a model of a few thousand weights.</summary>
public sealed class LabCommandTests(TinyModelFolder tiny) : IClassFixture<TinyModelFolder>
{
    [Fact]
    public void Init_WhatIsZeroOnOneSideStopsTheOther()
    {
        var starts = Run("init", "--max-steps", "4")["starts"]!.AsArray().ToDictionary(s => (string)s!["start"]!);
        var usual = starts["A random, B zero"]!;
        Assert.Equal(0, At(usual, "grad_a", 0));
        Assert.True(At(usual, "grad_b", 0) > 0 && At(usual, "grad_a", 1) > 0);
        Assert.Equal((double)usual["base_loss"]!, (double)usual["first_loss"]!);

        var none = starts["both zero"]!;
        Assert.All(none["grad_a"]!.AsArray().Concat(none["grad_b"]!.AsArray()), g => Assert.Equal(0, (double)g!));
        Assert.Equal((0, 0), ((double)none["moved_a"]!, (double)none["moved_b"]!));
        Assert.Equal((double)none["base_loss"]!, (double)none["last_loss"]!);

        var both = starts["both random"]!;
        Assert.True(At(both, "grad_a", 0) > 0 && At(both, "grad_b", 0) > 0);
        Assert.NotEqual((double)both["base_loss"]!, (double)both["first_loss"]!);

        var late = starts["A zero, B random"]!;
        Assert.Equal(0, At(late, "grad_b", 0));
        Assert.True(At(late, "grad_a", 0) > 0 && At(late, "grad_b", 1) > 0);
        Assert.Equal((double)late["base_loss"]!, (double)late["first_loss"]!);
    }

    private static double At(JsonNode start, string name, int step) => (double)start[name]![step]!;

    // The numbers of an experiment; its pictures and its explanation are there too.
    private JsonNode Run(string name, params string[] more)
    {
        using var folder = new TemporaryFolder();
        var output = folder.File("out");
        CliRun.Of([
            "lab", name, "--quick", "--model", tiny.Model, "--data", tiny.Data, "--output", output, .. more,
        ]).AssertSucceeds();
        var json = JsonNode.Parse(File.ReadAllText(Path.Combine(output, name + ".json")))!;
        Assert.Equal(3, json["explanation"]!.AsArray().Count);
        var pictures = Directory.GetFiles(output, "*.png");
        Assert.NotEmpty(pictures);
        Assert.All(pictures, picture =>
        {
            Assert.Equal(0x89, File.ReadAllBytes(picture)[0]);
            Assert.Contains(
                "<svg", File.ReadAllText(Path.ChangeExtension(picture, ".svg")), StringComparison.Ordinal);
        });
        return json["numbers"]!;
    }
}
