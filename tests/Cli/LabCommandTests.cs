using System.Text.Json.Nodes;
using CudaLora.Cli;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests;

/// <summary><c>cudalora lab</c>: what each experiment states, and the page with all of them.</summary>
[Collection(nameof(LabFixture))]
public sealed class LabCommandTests(LabFixture lab)
{
    [Fact]
    public void Init_WhatIsZeroOnOneSideStopsTheOther()
    {
        var starts = lab.Numbers("init")["starts"]!.AsArray().ToDictionary(s => (string)s!["start"]!);
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

    [Fact]
    public void Rank_TheAdapterHasItsRankAndTheWholeSpaceHoldsAll()
    {
        foreach (var layer in lab.Numbers("rank")["layers"]!.AsArray())
        {
            var spectrum = layer!["spectrum"]!["r8"]!.AsArray().Select(s => (double)s!).ToArray();
            // Nine or more directions would be rounding of B A in F32.
            Assert.True(spectrum[7] > 0 && spectrum[8] < 1e-5 * spectrum[0], layer.ToJsonString());
            var ranks = layer["effective_rank"]!;
            Assert.InRange((double)ranks["r8"]!, 1, 8.001);
            Assert.True((double)ranks["weight"]! > (double)ranks["r8"]!);
            foreach (var name in new[] { "similarity_a", "similarity_random" })
            {
                var rows = layer[name]!.AsArray();
                Assert.All(rows.SelectMany(row => row!.AsArray()), v => Assert.InRange((double)v!, -1e-6, 1 + 1e-6));
                // Of 32 inputs: an A of rank 32 spans all of them.
                if (rows[0]!.AsArray().Count == (int)layer["inputs"]!)
                    Assert.All(rows, row => Assert.Equal(1, (double)row!.AsArray().Last()!, 1e-5));
            }
        }
    }

    [Fact]
    public void Quantization_Nf4HasTheLeastErrorOnNormalWeights()
    {
        var error = lab.Numbers("quantization")["error"]!;
        Assert.True(At(error, "nf4", 1) < At(error, "int4", 1));
        Assert.True(At(error, "int4", 1) < At(error, "fp4", 1));
        // The quantiser that training uses, another code, comes to the same error.
        using var model = CausalLM.Load(lab.Model);
        var layers = model.Linears().Where(l => l.Path.Value.Contains("layers", StringComparison.Ordinal)).ToArray();
        double errors = 0, squares = 0;
        foreach (var layer in layers)
        {
            using var codes = QuantizedTensor.Quantize(layer.Weight, new QuantizationOptions(), layer.Path.Value);
            var norm = layer.Weight.Value.ToArray().Sum(v => (double)v * v);
            errors += Math.Pow(codes.ErrorFrom(layer.Weight).Relative, 2) * norm;
            squares += norm;
        }
        // Values at the border of two codes may go either way.
        Assert.Equal(Math.Sqrt(errors / squares), At(error, "nf4", 1), 1e-5);
    }

    [Fact]
    public void Kernel_FusedMovesFewerBytesThanComposedAndBlockMatrixMore()
    {
        var numbers = lab.Numbers("kernel");
        var least = (double)numbers["least_forward_flops"]!;
        var forward = numbers["strategies"]!.AsObject().ToDictionary(s => s.Key, s => s.Value!["forward"]!);
        Assert.True(Bytes("FusedMma") < Bytes("Composed") && Bytes("Fused") < Bytes("Composed"));
        Assert.True(Bytes("Composed") < Bytes("BlockMatrix"));
        Assert.True(Launches("FusedMma") < Launches("Composed"));
        Assert.All(forward.Values, way => Assert.True((double)way["flops"]! >= least));
        // y is of size 1 to 10 and keeps 8 bits; composed rounds it twice.
        Assert.All(numbers["strategies"]!.AsObject(), way =>
            Assert.InRange((double)way.Value!["largest_difference_from_composed"]!, 0, 10.0 / 128));

        int Launches(string way) => forward[way]["launches"]!.AsArray().Count;

        double Bytes(string way) => (double)forward[way]["read_bytes"]! + (double)forward[way]["written_bytes"]!;
    }

    [Fact]
    public void Placement_EveryPlaceCostsTheSame()
    {
        var numbers = lab.Numbers("placement");
        var cells = numbers["cells"]!.AsArray().ToDictionary(c => (string)c!["name"]!);
        Assert.Equal(
            (32, 16, 8), ((int)cells["q"]!["r"]!, (int)cells["q, v"]!["r"]!, (int)cells["q, k, v, o"]!["r"]!));
        // Two layers of width 32: r (32 + 32) each. Ranks are whole numbers, so the last is near.
        var budget = 2 * 32 * (32 + 32);
        Assert.All(cells, cell => Assert.Equal(
            budget, (double)cell.Value!["trainable_parameters"]!, cell.Key == "all" ? 0.1 * budget : 0));
    }

    [Fact]
    public void Sweep_EqualSettingsGiveEqualLosses()
    {
        var losses = lab.Numbers("sweep")["cells"]!.AsArray().ToDictionary(
            c => (string)c!["name"]!, c => (double)c!["held_out_loss"]!);
        // At rank 1 alpha / r is alpha / √r; ratio 1 is plain LoRA.
        Assert.Equal(losses["LoRA, r 1, alpha 16"], losses["rsLoRA, r 1, alpha 16"]);
        Assert.Equal(losses["LoRA, r 8, alpha 16"], losses["LoRA+, rate 2.00e-3, ratio 1"]);
        Assert.NotEqual(losses["LoRA, r 64, alpha 16"], losses["rsLoRA, r 64, alpha 16"]);
        Assert.NotEqual(losses["LoRA+, rate 2.00e-3, ratio 16"], losses["LoRA+, rate 2.00e-3, ratio 1"]);
    }

    [Fact]
    public void Parameters_GradientsAreSquareInFullTrainingAndThinInLora()
    {
        var numbers = lab.Numbers("parameters");
        for (var i = 0; i < 3; i++)
        {
            var width = (long)numbers["widths"]![i]!;
            Assert.Equal(width * width, (long)numbers["full"]![i]!["gradients"]!);
            Assert.Equal(2 * width * 8, (long)numbers["lora"]![i]!["gradients"]!);
            // A gradient and two moments, four bytes each.
            Assert.Equal(12 * 2 * width * 8, (long)numbers["lora"]![i]!["gradient_and_moment_bytes"]!);
            Assert.False((bool)numbers["lora"]![i]!["frozen_base_has_gradient"]!);
        }
        Assert.False((bool)numbers["model_lora"]!["frozen_base_has_gradient"]!);
        // Per layer 8 (32 + 32) of q, k, v, o and 8 (32 + 64) of gate, up, down.
        Assert.Equal(2 * 8 * ((4 * 64) + (3 * 96)), (long)numbers["model_lora"]!["gradients"]!);
    }

    [Fact]
    public void All_OnePageHoldsEveryExperimentWithItsPictures()
    {
        var page = lab.Page;
        Assert.DoesNotContain("class=\"failed\">", page, StringComparison.Ordinal);
        Assert.DoesNotContain("http", page, StringComparison.Ordinal);
        foreach (var experiment in LabExperiments.All)
        {
            Assert.Contains($"<section id=\"{experiment.Name}\">", page, StringComparison.Ordinal);
            var json = lab.Json(experiment.Name);
            Assert.Equal(3, json["explanation"]!.AsArray().Count);
            Assert.All(json["explanation"]!.AsArray(), sentence => Assert.Contains(
                System.Net.WebUtility.HtmlEncode((string)sentence!), page, StringComparison.Ordinal));
        }
        var pictures = Directory.GetFiles(lab.Output, "*.png");
        Assert.Equal(pictures.Length, page.Split("<img ").Length - 1);
        Assert.Equal(pictures.Length, page.Split("src=\"data:image/svg+xml;base64,").Length - 1);
        Assert.All(pictures, picture =>
        {
            Assert.Equal(0x89, File.ReadAllBytes(picture)[0]);
            Assert.Contains(
                "<svg", File.ReadAllText(Path.ChangeExtension(picture, ".svg")), StringComparison.Ordinal);
        });
    }

    [Fact]
    public void WhatAModelCannotShowIsRefusedInOneLine()
    {
        using var folder = new TemporaryFolder();
        CliRun.Of("lab", "placement", "--model", Path.Combine(SharedData.Root, "tests", "Golden", "gpt2"),
            "--output", folder.File("out")).AssertFails(ExitCode.Failure, "placement needs a model with q_proj");
        CliRun.Of("quantize", "--model", lab.Model, "--output", folder.File("nf4")).AssertSucceeds();
        foreach (var name in new[] { "rank", "quantization" })
        {
            CliRun.Of("lab", name, "--quick", "--model", folder.File("nf4"), "--output", folder.File("out"))
                .AssertFails(ExitCode.Failure, $"{name} needs weights of floats");
        }
        CliRun.Of("lab").AssertFails(ExitCode.Usage, "lab needs one of init, rank");
    }

    private static double At(JsonNode node, string name, int index) => (double)node[name]![index]!;
}
