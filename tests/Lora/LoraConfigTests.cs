using System.Text.Json.Nodes;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

public sealed class LoraConfigTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    private LoraConfig Read(string json)
    {
        folder.Write("adapter_config.json", json);
        return LoraConfig.Read(folder.Path);
    }

    [Fact]
    public void PeftsDefaults()
    {
        LoraConfig config = Read("""{"peft_type":"LORA"}""");
        Assert.Equal((8, 8.0, 0.0), (config.R, config.LoraAlpha, config.LoraDropout));
        Assert.Null(config.TargetModules);
        Assert.Equal((LoraBias.None, LoraInit.Default, false, false),
            (config.Bias, config.InitLoraWeights, config.UseRsLora, config.FanInFanOut));
        Assert.Equal(1, config.ScaleOf(8, 8));
        Assert.Equal(8 / Math.Sqrt(8), (config with { UseRsLora = true }).ScaleOf(8, 8));
    }

    [Fact]
    public void TheRealAdapterIsReadAndWrittenBack()
    {
        string path = SharedData.Require("adapters/trl_kto_gpt2");
        LoraConfig config = LoraConfig.Read(path);
        Assert.Equal((16, 16.0, 0.05, true), (config.R, config.LoraAlpha, config.LoraDropout, config.FanInFanOut));
        Assert.Equal(["c_attn"], config.TargetModules!.Names);
        Assert.Equal("gpt2", config.BaseModel);
        Assert.Empty(config.UnknownFields);
        config.Write(folder.Path);
        JsonObject before = JsonNode.Parse(File.ReadAllText(Path.Combine(path, LoraConfig.FileName)))!.AsObject();
        JsonObject after = JsonNode.Parse(File.ReadAllText(folder.File(LoraConfig.FileName)))!.AsObject();
        foreach ((string name, JsonNode? value) in before)
            Assert.True(JsonNode.DeepEquals(value, after[name]), $"{name}: {after[name]?.ToJsonString()}");
        // The keys a config of today carries, sorted.
        string[] expected = ("alpha_pattern auto_mapping base_model_name_or_path bias corda_config eva_config "
            + "exclude_modules fan_in_fan_out inference_mode init_lora_weights layer_replication layers_pattern "
            + "layers_to_transform loftq_config lora_alpha lora_bias lora_dropout megatron_config megatron_core "
            + "modules_to_save peft_type r rank_pattern revision target_modules target_parameters task_type "
            + "trainable_token_indices use_dora use_qalora use_rslora").Split(' ');
        Assert.Equal(expected, after.Select(f => f.Key));
    }

    [Fact]
    public void TheTextIsPythons()
    {
        new LoraConfig { LoraAlpha = 16, TargetModules = ModuleSelector.Of("v_proj"), BaseModel = "ü" }
            .Write(folder.Path);
        string text = File.ReadAllText(folder.File(LoraConfig.FileName));
        Assert.StartsWith(
            "{\n  \"alpha_pattern\": {},\n  \"auto_mapping\": null,\n  \"base_model_name_or_path\": \"ü\",\n",
            text);
        Assert.Contains("\"lora_alpha\": 16,\n", text);
        Assert.Contains("\"lora_dropout\": 0.0,\n", text);
        Assert.Contains("\"target_modules\": [\n    \"v_proj\"\n  ],\n", text);
        Assert.Contains("\"inference_mode\": true", text);
    }

    [Fact]
    public void UnknownFieldsAreKeptAndEverythingRoundTrips()
    {
        LoraConfig config = Read("""
            {"peft_type":"LORA","my_field":{"x":[1,2]},"r":4,"lora_alpha":6.5,"target_modules":".*\\.(q|k)_proj",
             "exclude_modules":["lm_head"],"modules_to_save":["embed_tokens"],"bias":"lora_only","use_rslora":true,
             "init_lora_weights":"gaussian","rank_pattern":{"z.q_proj":2,"a.k_proj":3},"alpha_pattern":{"k_proj":9},
             "task_type":null,"peft_version":"0.20.1","runtime_config":{"a":1}}
            """);
        Assert.Equal(["my_field"], config.UnknownFields);
        config.Write(folder.Path);
        LoraConfig back = LoraConfig.Read(folder.Path);
        Assert.Equal("""{"x":[1,2]}""", back.Source!["my_field"]!.ToJsonString());
        Assert.Equal("0.20.1", back.Source!["peft_version"]!.GetValue<string>());
        Assert.False(back.Source.ContainsKey("runtime_config"));
        Assert.Equal([KeyValuePair.Create("z.q_proj", 2), KeyValuePair.Create("a.k_proj", 3)], back.RankPattern);
        Assert.Equal((6.5, LoraBias.LoraOnly, LoraInit.Gaussian, true),
            (back.LoraAlpha, back.Bias, back.InitLoraWeights, back.UseRsLora));
        Assert.Equal(@".*\.(q|k)_proj", back.TargetModules!.Pattern);
        Assert.Equal(["lm_head"], back.ExcludeModules!.Names);
    }

    [Fact]
    public void LayersToTransformMayBeOneNumber()
    {
        Assert.Equal([3], Read("""{"peft_type":"LORA","layers_to_transform":3}""").LayersToTransform);
        Assert.Equal(["h"],
            Read("""{"peft_type":"LORA","layers_to_transform":[1],"layers_pattern":"h"}""").LayersPattern);
        Assert.Null(Read("""{"peft_type":"LORA","layers_to_transform":[],"layers_pattern":""}""").LayersPattern);
    }

    [Theory]
    [InlineData("\"velora_config\":true",
        "'velora_config' must be absent, null, false or empty (not supported), but is true")]
    [InlineData("\"use_qalora\":true", "'use_qalora'")]
    [InlineData("\"lora_bias\":true,\"use_dora\":true", "lora_bias cannot be combined with use_dora")]
    [InlineData("\"alora_invocation_tokens\":[1]", "'alora_invocation_tokens'")]
    [InlineData("\"layer_replication\":[[0,2]]", "'layer_replication'")]
    [InlineData("\"target_parameters\":[\"x\"]", "'target_parameters'")]
    [InlineData("\"megatron_config\":{\"a\":1}", "'megatron_config'")]
    [InlineData("\"trainable_token_indices\":[5]", "'trainable_token_indices'")]
    [InlineData("\"kasa_config\":{\"a\":1}", "'kasa_config'")]
    [InlineData("\"use_bdlora\":true", "'use_bdlora'")]
    [InlineData("\"init_lora_weights\":\"corda\"",
        "'init_lora_weights' must be true, false or one of true, gaussian, ")]
    [InlineData("\"bias\":\"some\"", "'bias' must be one of none, all, lora_only, but is \"some\"")]
    [InlineData("\"r\":0", "r must be at least 1, but is 0")]
    [InlineData("\"r\":8.5", "'r' must be a whole number, but is 8.5")]
    [InlineData("\"lora_dropout\":1", "lora_dropout must be at least 0 and below 1, but is 1")]
    [InlineData("\"rank_pattern\":{\"q\":0}", "'rank_pattern.q' must be a whole number of at least 1, but is 0")]
    [InlineData("\"target_modules\":[1]", "'target_modules' must be a text or a list of texts, but is [1]")]
    [InlineData("\"target_modules\":\"(\"", "'target_modules' must be a regular expression")]
    [InlineData("\"target_modules\":\"a\",\"layers_to_transform\":[1]",
        "layers_to_transform needs target_modules as a list")]
    [InlineData("\"layers_pattern\":\"h\"", "layers_pattern needs layers_to_transform")]
    public void RefusesByName(string field, string message)
    {
        var e = Assert.Throws<UserErrorException>(() => Read($$"""{"peft_type":"LORA",{{field}}}"""));
        Assert.StartsWith(folder.File("adapter_config.json"), e.Message);
        Assert.Contains(message, e.Message);
        Assert.DoesNotContain('\n', e.Message);
    }

    [Fact]
    public void OtherAdapterTypesAreRefused()
    {
        var e = Assert.Throws<UserErrorException>(() => Read("""{"peft_type":"IA3"}"""));
        Assert.Contains("'peft_type' must be LORA, but is \"IA3\"", e.Message);
        Assert.Contains("'peft_type' must be LORA, but is missing",
            Assert.Throws<UserErrorException>(() => Read("{}")).Message);
    }

    [Fact]
    public void EmptyExoticFieldsAreHarmless() => Read("""
        {"peft_type":"LORA","use_dora":false,"arrow_config":null,"target_parameters":[],"megatron_config":null,
         "loftq_config":{"loftq_bits":4},"megatron_core":"megatron.core","qalora_group_size":16,"lora_ga_config":null}
        """);
}
