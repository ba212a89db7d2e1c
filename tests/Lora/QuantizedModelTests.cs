using System.Text.Json;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

public class QuantizedModelTests
{
    private static readonly QuantizationOptions Nested = new() { DoubleQuant = true, BlockSize = 32 };

    [Theory]
    [InlineData(ModelFamily.Llama)]
    [InlineData(ModelFamily.Qwen2)]
    [InlineData(ModelFamily.Gpt2)]
    public void Load_MakesLinearLayersFourBit_AndTheFolderComesBackToTheBit(ModelFamily family)
    {
        using var folder = new TemporaryFolder();
        using var dense = TinyModel.Create(family);
        dense.Save(folder.File("dense"));
        var errors = new List<QuantizationError>();
        using var model = CausalLM.Load(folder.File("dense"), quantization: Nested, quantized: errors.Add);
        var layers = model.Linears().Where(l => l.Quantized is not null).ToArray();
        Assert.Equal(dense.Linears().Count() - 1, layers.Length);
        Assert.Null(model.Head.Quantized);
        Assert.Equal(layers.Select(l => l.Path.Value + ".weight"), errors.Select(e => e.Name));
        Assert.All(errors, e => Assert.InRange(e.Relative, 0.03, 0.15));
        Assert.Equal(dense.ParameterCount, model.ParameterCount);

        model.Save(folder.File("nf4"), SafetensorsDType.F32);
        using var loaded = CausalLM.Load(folder.File("nf4"));
        Assert.Equal(TinyModel.Logits(model), TinyModel.Logits(loaded));
        Assert.Equal(Nested, loaded.Quantization);
        // The values themselves as a normal model: the same products, summed in another order.
        foreach (var linear in model.Linears())
            linear.Dequantize();
        model.Save(folder.File("values"));
        using var values = CausalLM.Load(folder.File("values"));
        foreach (var (a, b) in TinyModel.Logits(loaded).Zip(TinyModel.Logits(values)))
            Assert.Equal(a, b, 1e-4f);
    }

    [Fact]
    public void Config_SaysWhatIsInTheFolder()
    {
        using var folder = new TemporaryFolder();
        using (var dense = TinyModel.Create())
            dense.Save(folder.File("dense"), SafetensorsDType.BF16);
        using (var model = CausalLM.Load(folder.File("dense"), quantization: Nested))
            model.Save(folder.File("nf4"), SafetensorsDType.BF16);
        using var json = JsonDocument.Parse(File.ReadAllText(folder.File("nf4/config.json")));
        var quantization = json.RootElement.GetProperty("quantization_config");
        Assert.Equal("bitsandbytes", quantization.GetProperty("quant_method").GetString());
        Assert.True(quantization.GetProperty("load_in_4bit").GetBoolean());
        Assert.Equal("nf4", quantization.GetProperty("bnb_4bit_quant_type").GetString());
        Assert.True(quantization.GetProperty("bnb_4bit_use_double_quant").GetBoolean());
        Assert.Equal("bfloat16", quantization.GetProperty("bnb_4bit_compute_dtype").GetString());
        using var loaded = CausalLM.Load(folder.File("nf4"));
        Assert.Equal(SafetensorsDType.BF16, loaded.Quantization!.ValueType);
        foreach (var linear in loaded.Linears())
            linear.Dequantize();
        loaded.Save(folder.File("again"));
        Assert.DoesNotContain("quantization_config", File.ReadAllText(folder.File("again/config.json")));
    }

    // As the folders that leave some layers in 16 bits: the tensors decide, layer by layer.
    [Fact]
    public void LayersMayBeMixed()
    {
        using var folder = new TemporaryFolder();
        using (var dense = TinyModel.Create())
            dense.Save(folder.File("dense"));
        float[] logits;
        using (var model = CausalLM.Load(folder.File("dense"), quantization: Nested))
        {
            model.Linears().First(l => l.Path.Name == "down_proj").Dequantize();
            logits = TinyModel.Logits(model);
            model.Save(folder.File("mixed"));
        }
        using var mixed = CausalLM.Load(folder.File("mixed"));
        Assert.Equal(1, mixed.Linears().Count(l => l.Path.Name == "down_proj" && l.Quantized is null));
        Assert.Equal(logits, TinyModel.Logits(mixed));
    }

    [Fact]
    public void AnAdapterTrainsOnIt_MergesAndComesOffAgainToTheBit()
    {
        using var model = Quantized();
        var before = TinyModel.Logits(model);
        using var adapter = LoraAdapter.Create(model, Config(), new Generator(1));
        Assert.Equal(before, TinyModel.Logits(model));
        TinyModel.Train(adapter, 3);
        var adapted = TinyModel.Logits(model);
        Assert.NotEqual(before, adapted);
        adapter.Merge();
        foreach (var (a, b) in adapted.Zip(TinyModel.Logits(model)))
            Assert.Equal(a, b, 1e-4f);
        adapter.Unmerge();
        Assert.Equal(adapted, TinyModel.Logits(model));
        adapter.Deactivate();
        Assert.Equal(before, TinyModel.Logits(model));
    }

    [Fact]
    public void Gradients_AreThoseOfAModelOfTheSameValues()
    {
        using var folder = new TemporaryFolder();
        using var model = Quantized();
        using var values = Quantized();
        foreach (var linear in values.Linears())
            linear.Dequantize();
        float[][] gradients = [.. new[] { model, values }.Select(m =>
        {
            using var adapter = LoraAdapter.Create(m, Config(), new Generator(1));
            TinyModel.Train(adapter, 3);
            using var scope = TensorScope.Begin();
            var logits = m.Forward(Tensor.From([3, 1, 4, 1, 5, 9], Shape.Of(1, 6)));
            (logits * logits).Mean().Backward();
            return adapter.TrainableParameters().SelectMany(p => p.Value.Grad!.ToArray()).ToArray();
        })];
        var scale = gradients[1].Max(Math.Abs);
        foreach (var (a, b) in gradients[0].Zip(gradients[1]))
            Assert.Equal(b, a, 1e-4f * scale);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    public void LoftQ_BringsTheModelNearerToTheOriginal(int iterations)
    {
        using var folder = new TemporaryFolder();
        using (var dense = TinyModel.Create(hidden: 64))
            dense.Save(folder.File("dense"));
        using var model = CausalLM.Load(folder.File("dense"), quantization: Nested);
        using var adapter = LoraAdapter.Create(
            model, Config() with { InitLoraWeights = LoraInit.LoftQ }, new Generator(1));
        var errors = LoftQ.Initialize(adapter, folder.File("dense"), new Generator(2), iterations);
        // White noise of 64 x 64: the 4 largest directions hold about 22 % of the energy, which leaves 0.88 of the
        // norm.
        Assert.All(errors, e => Assert.True(e.After.Relative < 0.9 * e.Before.Relative, $"{e.Before} {e.After}"));
        // What the forward pass adds is what was measured.
        var first = adapter.Layers[0];
        using var values = first.Linear.Quantized!.Dequantize();
        using var original = CausalLM.Load(folder.File("dense"));
        var weight = original.Linears().First(l => l.Path == first.Linear.Path).Weight.Value;
        double left = 0, all = 0;
        for (var i = 0; i < weight.Shape[0]; i++)
        {
            for (var j = 0; j < weight.Shape[1]; j++)
            {
                double sum = values.Span<float>()[(i * weight.Shape[1]) + j];
                for (var k = 0; k < first.Rank; k++)
                    sum += (double)first.Scale * first.B.Value.Span<float>()[(i * first.Rank) + k]
                        * first.A.Value.Span<float>()[(k * weight.Shape[1]) + j];
                left += Math.Pow(weight.Span<float>()[(i * weight.Shape[1]) + j] - sum, 2);
                all += Math.Pow(weight.Span<float>()[(i * weight.Shape[1]) + j], 2);
            }
        }
        Assert.Equal(errors[0].After.Relative, Math.Sqrt(left / all), 1e-5);
    }

    [Fact]
    public void WhatCannotBe_IsRefusedInOneLine()
    {
        using var folder = new TemporaryFolder();
        using (var dense = TinyModel.Create())
        {
            dense.Save(folder.File("dense"));
            dense.Linears().Skip(2).First().Weight.Value.Span<float>()[3] = float.NaN;
            dense.Save(folder.File("nan"));
        }
        using var model = CausalLM.Load(folder.File("dense"), quantization: Nested);
        model.Save(folder.File("nf4"));
        Refused(
            "model.layers.0.self_attn.q_proj.weight: is 4-bit already (nf4); quantise the model it was made from",
            () => CausalLM.Load(folder.File("nf4"), quantization: Nested));
        Refused(
            "model.layers.0.self_attn.v_proj.weight: weights must be finite to be quantised, but hold NaN or infinity",
            () => CausalLM.Load(folder.File("nan"), quantization: Nested));
        Refused(
            "full training needs weights of floats, but the model is 4-bit: train an adapter (--method lora)",
            () => _ = new FullFineTuning(model));
        Refused(
            "modules_to_save: model.layers.0.mlp.down_proj must have weights of floats to be trained in full, but they "
            + "are 4-bit",
            () => LoraAdapter.Create(model, Config() with { ModulesToSave = ["down_proj"] }, new Generator(1)));
        using var adapter = LoraAdapter.Create(model, Config(), new Generator(1));
        Refused(
            $"{folder.File("nf4")}: LoftQ needs the weights before quantisation, but "
            + "model.layers.0.self_attn.q_proj.weight is 4-bit there",
            () => LoftQ.Initialize(adapter, folder.File("nf4"), new Generator(1)));
    }

    private static void Refused(string message, Action call) =>
        Assert.Equal(message, Assert.Throws<UserErrorException>(call).Message);

    private static CausalLM Quantized()
    {
        using var folder = new TemporaryFolder();
        using (var dense = TinyModel.Create())
            dense.Save(folder.Path);
        return CausalLM.Load(folder.Path, quantization: Nested);
    }

    private static LoraConfig Config() =>
        new() { R = 4, LoraAlpha = 8, TargetModules = ModuleSelector.AllLinear };
}
